"""Settings of the PostgreSQL driver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from async_task.spi.errors import ConfigurationError
from async_task.spi.settings import DriverSettings, setting

MAX_NAME_BYTES = 63
"""Longest identifier of PostgreSQL; it would cut longer ones short, and two might become one."""


@dataclass(frozen=True, kw_only=True)
class PostgresSettings(DriverSettings):
    """Where the PostgreSQL driver keeps its tables, and how many connections it may use.

    Attributes:
        dsn: URL of the database, `postgresql://user:password@host:port/database?sslmode=...`;
            special characters of the password percent-encoded. Never shown.
        queue_table: Table of unfinished messages, `table` or `schema.table`. Its name begins those
            of the tables beside it: `_results`, `_queues`, `_schema`.
        dead_letter_table: Table of rejected messages, `table` or `schema.table`.
        min_pool_size: Connections made when the driver opens.
        max_pool_size: Most connections for everything but a worker's own, which are up to four: to
            lease, to settle, to renew leases, and to be woken.
        notify: Whether to send and hear `NOTIFY`; without it, and behind a connection pooler,
            workers look for new messages once a second.

    Raises:
        ConfigurationError: A value cannot be.
    """

    dsn: str | None = setting(
        None, "URL of the database: postgresql://user:password@host:5432/database.", secret=True
    )
    queue_table: str = setting("task_queue", "Table of unfinished tasks: table or schema.table.")
    dead_letter_table: str = setting(
        "dead_letter_queue", "Table of tasks that were given up on: table or schema.table."
    )
    min_pool_size: int = setting(1, "Connections made at once.")
    max_pool_size: int = setting(10, "Most connections, a worker's own (up to four) not counted.")
    notify: bool = setting(True, "Wake workers by NOTIFY; off, they look once a second.")

    def __post_init__(self) -> None:
        if not self.dsn:
            raise ConfigurationError(
                "postgres_dsn is missing; give the URL of a database, for example "
                "postgresql://user:password@localhost:5432/app"
            )
        if not self.dsn.startswith(("postgresql://", "postgres://")):
            raise ConfigurationError(
                "postgres_dsn must begin with postgresql:// (a URL, without a client's name such "
                "as '+asyncpg')"
            )
        for name in ("queue_table", "dead_letter_table"):
            table_parts(getattr(self, name), name)
        if not 0 <= self.min_pool_size <= self.max_pool_size or self.max_pool_size < 1:
            raise ConfigurationError(
                f"postgres_min_pool_size={self.min_pool_size} and postgres_max_pool_size="
                f"{self.max_pool_size} do not fit: 0 <= min <= max, and max at least 1"
            )

    @classmethod
    def from_url(cls, url: str) -> dict[str, Any]:
        """Take the whole URL as `dsn`."""
        return {"dsn": url}


def table_parts(name: str, setting_name: str = "table") -> tuple[str | None, str]:
    """Take `table` or `schema.table` apart; any characters are good, for all names are quoted.

    Raises:
        ConfigurationError: It is not one or two identifiers of 1 to 63 bytes.
    """
    schema, dot, table = name.rpartition(".")
    parts = (schema, table) if dot else (table,)
    if not all(part and _fits(part) for part in parts) or "." in schema:
        raise ConfigurationError(
            f"postgres_{setting_name}={name!r} is not 'table' or 'schema.table' with names of 1 to "
            f"{MAX_NAME_BYTES} bytes"
        )
    return schema or None, table


def _fits(identifier: str) -> bool:
    return "\0" not in identifier and len(identifier.encode()) <= MAX_NAME_BYTES
