"""Redis and Valkey."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from async_task.testing.servers.base import LocalServer

if TYPE_CHECKING:
    from collections.abc import Sequence


class RedisServer(LocalServer):
    """A Redis server: without persistence, unless told otherwise.

    Args:
        arguments: Further arguments of `redis-server`, for example
            `"--appendonly", "yes", "--appendfsync", "everysec"`.
    """

    name = "redis"
    binary = "redis-server"
    image = "redis:7-alpine"
    image_port = 6379

    def __init__(self, *arguments: str) -> None:
        super().__init__()
        self._arguments = arguments

    def command(self, binary: str) -> Sequence[str]:
        """Return the command line."""
        place = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        return [binary, *place, "--save", "", *self._arguments]

    @classmethod
    def url_at(cls, host: str, port: int) -> str:
        """Return a `redis://` URL of database 0."""
        return f"redis://{host}:{port}/0"

    @classmethod
    def answers(cls, host: str, port: int) -> bool:
        """Tell whether it has loaded its data; one that wants a password has."""
        try:
            with socket.create_connection((host, port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False
