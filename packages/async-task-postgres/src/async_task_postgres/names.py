"""The names of the tables and of what belongs to them, quoted."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from async_task.spi.errors import ConfigurationError

from async_task_postgres.settings import MAX_NAME_BYTES, table_parts

if TYPE_CHECKING:
    from async_task_postgres.settings import PostgresSettings


@dataclass(frozen=True, slots=True)
class Names:
    """One namespace's names, as they stand in SQL.

    Attributes:
        queue: Table of ready, delayed and leased messages.
        ready: Index of the ready and delayed ones.
        leased: Index of the leased ones.
        dead: Table of dead letters.
        dead_listed: Its index.
        results: Table of results.
        outlived: Its index.
        queues: Table of provisioned and paused queues.
        paused: Its index.
        schema: Table of applied migrations.
        channel: Channel of the hints; a plain name, not quoted.
    """

    queue: str
    ready: str
    leased: str
    dead: str
    dead_listed: str
    results: str
    outlived: str
    queues: str
    paused: str
    schema: str
    channel: str

    @classmethod
    def of(cls, settings: PostgresSettings, namespace: str) -> Names:
        """Derive all names; the namespace stands before the tables'.

        Raises:
            ConfigurationError: A name would be too long, or one table would be two things.
        """
        prefix = f"{namespace}_" if namespace else ""
        home, queue = table_parts(settings.queue_table)
        dead_home, dead = table_parts(settings.dead_letter_table)
        queue, dead = prefix + queue, prefix + dead
        suffixes = ("results", "queues", "schema")
        if dead_home == home and dead in (queue, *(f"{queue}_{suffix}" for suffix in suffixes)):
            raise ConfigurationError(
                f"postgres_dead_letter_table={settings.dead_letter_table!r} is a table of "
                f"postgres_queue_table={settings.queue_table!r} already; give it another name"
            )
        return cls(
            queue=_table(home, queue),
            ready=_quoted(f"{queue}_ready"),
            leased=_quoted(f"{queue}_leased"),
            dead=_table(dead_home, dead),
            dead_listed=_quoted(f"{dead}_list"),
            results=_table(home, f"{queue}_results"),
            outlived=_quoted(f"{queue}_outlived"),
            queues=_table(home, f"{queue}_queues"),
            paused=_quoted(f"{queue}_paused"),
            schema=_table(home, f"{queue}_schema"),
            channel=queue,
        )

    def fill(self, template: str) -> str:
        """Put the names into a text that has them in braces."""
        return template.format(**asdict(self))


def _table(schema: str | None, table: str) -> str:
    return _quoted(table) if schema is None else f"{_quoted(schema)}.{_quoted(table)}"


def _quoted(identifier: str) -> str:
    if len(identifier.encode()) > MAX_NAME_BYTES:
        raise ConfigurationError(
            f"{identifier!r} is longer than the {MAX_NAME_BYTES} bytes of a name in PostgreSQL; "
            "shorten namespace, postgres_queue_table or postgres_dead_letter_table"
        )
    return '"' + identifier.replace('"', '""') + '"'
