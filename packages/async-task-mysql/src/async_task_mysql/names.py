"""The names of the tables, quoted."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from async_task.spi.errors import ConfigurationError

from async_task_mysql.settings import MAX_NAME, table_parts

if TYPE_CHECKING:
    from async_task_mysql.settings import MysqlSettings


@dataclass(frozen=True, slots=True)
class Names:
    """One namespace's tables, as they stand in SQL.

    Attributes:
        queue: Ready, delayed and leased messages.
        dead: Dead letters.
        results: Results.
        queues: Provisioned and paused queues.
        schema: Applied migrations.
    """

    queue: str
    dead: str
    results: str
    queues: str
    schema: str

    @classmethod
    def of(cls, settings: MysqlSettings, namespace: str) -> Names:
        """Derive all names; the namespace stands before the tables'.

        Raises:
            ConfigurationError: A name would be too long, or one table would be two things.
        """
        prefix = f"{namespace}_" if namespace else ""
        home, queue = table_parts(settings.queue_table)
        dead_home, dead = table_parts(settings.dead_letter_table)
        queue, dead = prefix + queue, prefix + dead
        tables = {"queue": queue, **{s: f"{queue}_{s}" for s in ("results", "queues", "schema")}}
        # A server may not tell upper from lower case, so neither do we.
        if dead_home == home and dead.lower() in map(str.lower, tables.values()):
            raise ConfigurationError(
                f"mysql_dead_letter_table={settings.dead_letter_table!r} is a table of "
                f"mysql_queue_table={settings.queue_table!r} already; give it another name"
            )
        quoted = {key: _table(home, table) for key, table in tables.items()}
        return cls(dead=_table(dead_home, dead), **quoted)

    def fill(self, template: str) -> str:
        """Put the names into a text that has them in braces."""
        return template.format(**asdict(self))


def _table(database: str | None, table: str) -> str:
    if len(table) > MAX_NAME:
        raise ConfigurationError(
            f"{table!r} is longer than the {MAX_NAME} characters of a name in MySQL; shorten "
            "namespace, mysql_queue_table or mysql_dead_letter_table"
        )
    return _quoted(table) if database is None else f"{_quoted(database)}.{_quoted(table)}"


def _quoted(identifier: str) -> str:
    return "`" + identifier.replace("`", "``") + "`"
