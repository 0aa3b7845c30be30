"""PostgreSQL, and PgBouncer in front of one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from async_task.testing.servers.base import LocalServer, printed

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence


class PostgresServer(LocalServer):
    """A PostgreSQL server that trusts everybody who reaches it and has one database, `test`.

    It syncs every commit to disk, as a server does by default.

    Args:
        **settings: Settings of the server, for example `max_connections="20"`.
    """

    name = "postgres"
    binary = "postgres"
    user = "postgres"  # it refuses root
    image = "postgres:17-alpine"
    image_port = 5432
    image_environment = {"POSTGRES_HOST_AUTH_METHOD": "trust", "POSTGRES_DB": "test"}  # noqa: RUF012 - read only
    stop_signal = signal.SIGINT  # ends sessions; SIGTERM would wait for them

    def __init__(self, **settings: str) -> None:
        super().__init__()
        self._settings = settings

    @classmethod
    def find_binary(cls) -> str | None:
        """Return the newest one installed; Debian keeps them out of the search path."""
        homes = Path("/usr/lib/postgresql").glob("*/bin/postgres")
        newest = sorted(homes, key=lambda path: int(path.parts[-3]))
        return shutil.which(cls.binary) or (str(newest[-1]) if newest else None)

    def prepare(self) -> None:
        """Make the cluster."""
        self._run_tool("initdb", "-D", "data", "-U", "postgres", "-A", "trust", "--no-sync")
        # The database that the URL names, made before anybody can connect.
        sql = self.folder / "make.sql"
        sql.write_text("CREATE DATABASE test;\n")
        tool = self._tool("postgres")
        self.run("sh", "-c", f"'{tool}' --single -j -D data -F postgres < make.sql")

    def command(self, binary: str) -> Sequence[str]:
        """Return the command line."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "shared_buffers": "64MB",
            **self._settings,
        }
        given = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [binary, "-D", "data", *given]

    @classmethod
    def url_at(cls, host: str, port: int) -> str:
        """Return a URL of the database `test`."""
        return f"postgresql://postgres@{host}:{port}/test"

    @classmethod
    def answers(cls, host: str, port: int) -> bool:
        """Tell whether it lets sessions in: it accepts connections before it does."""
        parameters = b"user\0postgres\0database\0test\0\0"
        try:
            with socket.create_connection((host, port), timeout=1) as connection:
                connection.sendall(struct.pack("!II", 8 + len(parameters), 196608) + parameters)
                return connection.recv(1) == b"R"
        except OSError:
            return False

    def _pids(self) -> list[int]:
        return [self.pid, *map(int, printed("pgrep", "-P", str(self.pid)))]

    def _signal(self, number: signal.Signals) -> None:
        """Reach its sessions too, each of which leads a process group of its own."""
        with contextlib.suppress(ProcessLookupError):  # it ended by itself
            os.kill(self.pid, signal.SIGSTOP)  # it starts no more sessions meanwhile
        for pid in self._pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _run_tool(self, name: str, *arguments: str) -> None:
        self.run(self._tool(name), *arguments)

    def _tool(self, name: str) -> str:
        binary = self.find_binary()
        assert binary is not None
        return str(Path(binary).parent / name)


class PgBouncerServer(LocalServer):
    """PgBouncer in transaction mode before a database.

    Args:
        database: URL of the database.
    """

    name = "pgbouncer"
    binary = "pgbouncer"
    user = "postgres"  # it refuses root
    image = "edoburu/pgbouncer"
    image_port = 5432

    def __init__(self, database: str) -> None:
        super().__init__()
        self._database = urlsplit(database)

    def prepare(self) -> None:
        """Write its configuration."""
        at = self._database
        (self.folder / "users.txt").write_text(f'"{at.username}" "{at.password or ""}"\n')
        (self.folder / "pgbouncer.ini").write_text(
            "[databases]\n"
            f"{at.path[1:]} = host={at.hostname} port={at.port} dbname={at.path[1:]}\n"
            "[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\n"
            "auth_type = trust\nauth_file = users.txt\n"
            "pool_mode = transaction\ndefault_pool_size = 4\nmax_client_conn = 500\n"
        )

    def command(self, binary: str) -> Sequence[str]:
        """Return the command line."""
        return [binary, "pgbouncer.ini"]

    @classmethod
    def url_at(cls, host: str, port: int) -> str:
        """Return a URL of the database `test`."""
        return f"postgresql://postgres@{host}:{port}/test"


@contextlib.contextmanager
def asyncpg_orphans() -> Generator[None]:
    """Let asyncpg lose the future of a connection attempt that is given up, in the running loop.

    It belongs to a protocol that nobody has been given yet (`TLSUpgradeProto.on_data`), so that
    nobody can retrieve what the end of the connection puts into it.
    """
    loop = asyncio.get_running_loop()
    report = loop.get_exception_handler()
    assert report is not None, "a test's loop has one, by which an error in a callback fails it"

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if "unexpected connection_lost() call" not in str(context.get("exception")):
            report(loop, context)

    loop.set_exception_handler(handle)
    try:
        yield
    finally:
        loop.set_exception_handler(report)
