"""MariaDB, and MySQL where it is installed."""

from __future__ import annotations

import shutil
import socket
from typing import TYPE_CHECKING

from async_task.testing.servers.base import LocalServer

if TYPE_CHECKING:
    from collections.abc import Sequence


class MysqlServer(LocalServer):
    """A MySQL server that lets root in without a password and has one database, `test`.

    It syncs every commit to disk, as a server does by default.

    Args:
        **settings: Settings of the server, for example `max_connections="20"`.
    """

    name = "mysql"
    binary = "mysqld"
    user = "mysql"  # it refuses root
    image = "mysql:8.4"
    image_port = 3306
    image_environment = {  # noqa: RUF012 - read only
        "MYSQL_ALLOW_EMPTY_PASSWORD": "1",
        "MYSQL_DATABASE": "test",
    }

    def __init__(self, **settings: str) -> None:
        super().__init__()
        self._settings = settings

    @classmethod
    def find_binary(cls) -> str | None:
        """Return the program; one of that name that belongs to MariaDB is none."""
        return None if shutil.which("mariadbd") else shutil.which(cls.binary)

    def prepare(self) -> None:
        """Make the system tables."""
        binary = self.find_binary()
        assert binary is not None
        self.run(
            binary,
            "--no-defaults",
            "--initialize-insecure",
            f"--datadir={self.folder}/data",
            f"--tmpdir={self.folder}",
        )
        self._write_databases()

    def command(self, binary: str) -> Sequence[str]:
        """Return the command line."""
        settings = {
            "datadir": f"{self.folder}/data",
            "tmpdir": str(self.folder),  # a server that starts empties it of another's tables
            "bind-address": "127.0.0.1",
            "port": str(self.port),
            "socket": f"{self.folder}/socket",
            "pid-file": f"{self.folder}/pid",
            "init-file": f"{self.folder}/databases.sql",
            "innodb-buffer-pool-size": "64M",
            **self._own_settings(),
            **self._settings,
        }
        given = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
        return [binary, "--no-defaults", *given]

    @classmethod
    def url_at(cls, host: str, port: int) -> str:
        """Return a URL of the database `test`."""
        return f"mysql://root@{host}:{port}/test"

    @classmethod
    def answers(cls, host: str, port: int) -> bool:
        """Tell whether it greets who connects: it does once its databases are made."""
        try:
            with socket.create_connection((host, port), timeout=1) as connection:
                connection.settimeout(1)
                greeting = connection.recv(5)
        except OSError:
            return False
        return len(greeting) == 5 and greeting[4] == 10

    def _own_settings(self) -> dict[str, str]:
        return {"mysqlx": "OFF", "secure-file-priv": "NULL", "skip-log-bin": "1"}

    def _write_databases(self) -> None:
        # Each statement on one line: that is how the server reads it.
        sql = self.folder / "databases.sql"
        sql.write_text("CREATE DATABASE IF NOT EXISTS test;\n")
        sql.chmod(0o644)


class MariadbServer(MysqlServer):
    """A MariaDB server."""

    name = "mariadb"
    binary = "mariadbd"
    image = "mariadb:11.4"
    image_environment = {  # noqa: RUF012 - read only
        "MARIADB_ALLOW_EMPTY_ROOT_PASSWORD": "1",
        "MARIADB_DATABASE": "test",
    }

    @classmethod
    def find_binary(cls) -> str | None:
        """Return the program."""
        return shutil.which(cls.binary)

    def prepare(self) -> None:
        """Make the system tables."""
        self.run(
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={self.folder}/data",
            f"--tmpdir={self.folder}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-name-resolve",
        )
        self._write_databases()

    def _own_settings(self) -> dict[str, str]:
        return {}
