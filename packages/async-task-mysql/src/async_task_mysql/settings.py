"""Settings of the MySQL driver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from async_task.spi.errors import ConfigurationError
from async_task.spi.settings import DriverSettings, setting

from async_task_mysql.address import Address

MAX_NAME = 64
"""Longest identifier of MySQL, in characters."""


@dataclass(frozen=True, kw_only=True)
class MysqlSettings(DriverSettings):
    """Where the MySQL driver keeps its tables, and how many connections it may use.

    Attributes:
        dsn: URL of the database; see `address.Address.of`. Never shown.
        queue_table: Table of unfinished messages, `table` or `database.table`. Its name begins
            those of the tables beside it: `_results`, `_queues`, `_schema`.
        dead_letter_table: Table of rejected messages, `table` or `database.table`.
        min_pool_size: Connections made when the driver opens.
        max_pool_size: Most connections for everything but a worker's own, which are three: to
            lease, to settle, and to renew leases.

    Raises:
        ConfigurationError: A value cannot be.
    """

    dsn: str | None = setting(
        None, "URL of the database: mysql://user:password@host:3306/database.", secret=True
    )
    queue_table: str = setting("task_queue", "Table of unfinished tasks: table or database.table.")
    dead_letter_table: str = setting(
        "dead_letter_queue", "Table of tasks that were given up on: table or database.table."
    )
    min_pool_size: int = setting(1, "Connections made at once.")
    max_pool_size: int = setting(10, "Most connections, a worker's own (three) not counted.")

    def __post_init__(self) -> None:
        self.address()
        for name in ("queue_table", "dead_letter_table"):
            table_parts(getattr(self, name), name)
        if not 0 <= self.min_pool_size <= self.max_pool_size or self.max_pool_size < 1:
            raise ConfigurationError(
                f"mysql_min_pool_size={self.min_pool_size} and mysql_max_pool_size="
                f"{self.max_pool_size} do not fit: 0 <= min <= max, and max at least 1"
            )

    @classmethod
    def from_url(cls, url: str) -> dict[str, Any]:
        """Take the whole URL as `dsn`."""
        return {"dsn": url}

    def address(self) -> Address:
        """Take the URL apart.

        Raises:
            ConfigurationError: There is none, or it leads nowhere.
        """
        if not self.dsn:
            raise ConfigurationError(
                "mysql_dsn is missing; give the URL of a database, for example "
                "mysql://user:password@localhost:3306/app"
            )
        return Address.of(self.dsn)


def table_parts(name: str, setting_name: str = "table") -> tuple[str | None, str]:
    """Take `table` or `database.table` apart; nearly any character is good, for names are quoted.

    Raises:
        ConfigurationError: It is not one or two identifiers that MySQL can have.
    """
    database, dot, table = name.rpartition(".")
    parts = (database, table) if dot else (table,)
    if not all(map(_is_identifier, parts)) or "." in database:
        raise ConfigurationError(
            f"mysql_{setting_name}={name!r} is not 'table' or 'database.table' with names of 1 to "
            f"{MAX_NAME} characters; a colon, a space at the end, a zero byte or a character "
            "outside Unicode's basic plane cannot be in them"
        )
    return database or None, table


def _is_identifier(name: str) -> bool:
    # Colons mark the parameters of the statements that applications execute themselves.
    return (
        0 < len(name) <= MAX_NAME
        and not name.endswith(" ")
        and all(c not in "\0:" and c <= "\uffff" for c in name)
    )
