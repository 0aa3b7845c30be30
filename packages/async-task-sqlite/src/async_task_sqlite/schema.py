"""The tables: numbered scripts in `migrations/`, applied when a file is opened.

Table `$schema` names what was applied. Applying is one immediate transaction, so that of several
processes opening a new file one makes the tables and the others find them.
"""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from async_task.spi.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from async_task_sqlite.connection import Connection

_VERSIONS = """
CREATE TABLE IF NOT EXISTS "$schema" (name TEXT PRIMARY KEY, applied_at TEXT NOT NULL);
"""
_APPLIED = """
    SELECT name FROM "$schema"
"""
_RECORD = """
    INSERT INTO "$schema" (name, applied_at) VALUES ('%s', datetime('now'));
"""


class Schema:
    """The schema of one namespace; all methods but `sql` run in a connection's thread."""

    def __init__(self, namespace: str) -> None:
        if not re.fullmatch("[a-z0-9_]{0,40}", namespace):
            raise ConfigurationError(
                f"namespace={namespace!r} is no table prefix; use up to 40 of a-z, 0-9 and _"
            )
        self.prefix = f"async_task_{namespace}_" if namespace else "async_task_"
        self._scripts = {
            file.stem: file.read_text(encoding="utf-8")
            for file in sorted((Path(__file__).parent / "migrations").glob("*.sql"))
        }

    def pending(self, db: sqlite3.Connection) -> list[str]:
        """Name what is not applied yet, in order.

        Raises:
            ConfigurationError: A newer version of this driver applied what we do not know.
        """
        table = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
        if db.execute(table, (f"{self.prefix}schema",)).fetchone() is None:
            return list(self._scripts)
        applied = {name for (name,) in db.execute(self._named(_APPLIED))}
        if newer := sorted(applied - self._scripts.keys()):
            raise ConfigurationError(
                f"the tables {self.prefix}* were changed by a newer async-task-sqlite "
                f"({', '.join(newer)}); upgrade the package, or use another file or namespace"
            )
        return [name for name in self._scripts if name not in applied]

    def apply(self, db: sqlite3.Connection) -> list[str]:
        """Apply what is pending inside the caller's immediate transaction and name it."""
        names = self.pending(db)
        for name in names:
            for statement in _statements(self._script(name)):
                db.execute(statement)
        return names

    def sql(self) -> str:
        """Return every migration as one script."""
        parts = "\n".join(self._script(name) for name in self._scripts)
        return f"PRAGMA journal_mode = WAL;\nBEGIN IMMEDIATE;\n{parts}\nCOMMIT;\n"

    def _script(self, name: str) -> str:
        return self._named(_VERSIONS + self._scripts[name] + _RECORD % name)

    def _named(self, template: str) -> str:
        return template.replace("$", self.prefix)


def _statements(script: str) -> Iterator[str]:
    """Cut a script apart; `executescript` would commit the transaction it runs in."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


class SqliteMigrations:
    """The `Migrations` facet, on a connection of its own each time: it needs no open driver."""

    def __init__(self, connect: Callable[[], Connection], schema: Schema) -> None:
        self._connect = connect
        self._schema = schema

    async def pending(self) -> Sequence[str]:
        """Name the migrations that are not applied yet, in order."""
        async with self._connect() as connection:
            return await connection.read(self._schema.pending)

    async def apply(self) -> Sequence[str]:
        """Apply what is pending and name it; safe when run by several at once."""
        async with self._connect() as connection:
            return await connection.write(self._schema.apply)

    def sql(self) -> str:
        """Return the whole schema as a script for the `sqlite3` shell."""
        return self._schema.sql()
