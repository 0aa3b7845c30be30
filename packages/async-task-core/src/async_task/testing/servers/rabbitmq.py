"""RabbitMQ."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final

from async_task.testing.servers.base import LocalServer, free_port

if TYPE_CHECKING:
    from collections.abc import Sequence

_WRAPPER: Final = "rabbitmq-script-wrapper"
"""What Debian puts before the program; it would write into the log of the system's server."""


class RabbitmqServer(LocalServer):
    """A RabbitMQ server of one node, with a name server of Erlang's of its own; starts in 5 s.

    Args:
        **settings: Lines of `rabbitmq.conf`, with `__` for the dots of a name, for example
            `consumer_timeout="60000"`.
    """

    name = "rabbitmq"
    binary = "rabbitmq-server"
    user = "rabbitmq"
    image = "rabbitmq:4-alpine"
    image_port = 5672

    def __init__(self, **settings: str) -> None:
        super().__init__()
        self._settings = settings
        self._names_port = free_port()
        self._nodes_port = free_port()

    def prepare(self) -> None:
        """Write its configuration."""
        settings = {
            "listeners.tcp.1": f"127.0.0.1:{self.port}",
            # What it measures says nothing about a machine that others use too.
            "disk_free_limit.absolute": "1MB",
            "vm_memory_high_watermark.absolute": "1GB",
            **{name.replace("__", "."): value for name, value in self._settings.items()},
        }
        lines = [f"{name} = {value}\n" for name, value in settings.items()]
        path = self.folder / "rabbitmq.conf"
        path.write_text("".join(lines))
        path.chmod(0o644)

    def command(self, binary: str) -> Sequence[str]:
        """Return the command line; the name server goes when the process group does."""
        return [*self._environment, "sh", "-c", 'epmd & exec "$0"', binary]

    def control(self, *command: str) -> None:
        """Run `rabbitmqctl`, for a second or two."""
        binary = self.find_binary()
        assert binary is not None
        program = Path(binary).with_name("rabbitmqctl")
        self.run(*self._environment, str(program), "--node", self._node, *command)

    @property
    def _node(self) -> str:
        return f"async-task-{self.port}@localhost"

    @property
    def _environment(self) -> list[str]:
        folder = str(self.folder)
        environment = {
            "HOME": folder,
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._names_port),
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_DIST_PORT": str(self._nodes_port),
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq.conf",
            "RABBITMQ_MNESIA_BASE": f"{folder}/data",
            "RABBITMQ_LOG_BASE": f"{folder}/log",
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
        }
        return ["env", *(f"{name}={value}" for name, value in environment.items())]

    def stop(self) -> None:
        """Ask it to end, wait until it has, and end its name server."""
        group = self.pid
        super().stop()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)

    @classmethod
    def url_at(cls, host: str, port: int) -> str:
        """Return a URL of the default virtual host."""
        return f"amqp://guest:guest@{host}:{port}/"

    @classmethod
    def answers(cls, host: str, port: int) -> bool:
        """Tell whether it answers the greeting of a client: it does once it is wholly up."""
        try:
            with socket.create_connection((host, port), timeout=1) as connection:
                connection.settimeout(1)
                connection.sendall(b"AMQP\x00\x00\x09\x01")
                return connection.recv(1) == b"\x01"
        except OSError:
            return False

    @classmethod
    def find_binary(cls) -> str | None:
        """Return the first program on the path; Erlang has to be there too."""
        found = shutil.which(cls.binary)
        if found and (wrapper := Path(found).resolve()).name == _WRAPPER:
            return str(wrapper.with_name(cls.binary))
        return found
