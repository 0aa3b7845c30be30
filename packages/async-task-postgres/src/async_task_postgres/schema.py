"""The tables: numbered scripts in `migrations/`.

A table names what was applied. Several may apply at once: each locks that table first, so that one
makes the change and the others find it made. Scripts only add, in a way that the release before
still works with: during a deployment old workers run on the new schema.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import asyncpg
from async_task.spi.errors import ConfigurationError

from async_task_postgres.failures import CLIENT_ERRORS, is_refusal, lost, translate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from async_task_postgres.names import Names
    from async_task_postgres.server import Connection, Server

T = TypeVar("T")

_VERSIONS = """
CREATE TABLE IF NOT EXISTS {schema} (
    name text PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT statement_timestamp()
)
"""
_MADE_MEANWHILE = (
    asyncpg.UniqueViolationError,
    asyncpg.DuplicateTableError,
    asyncpg.DuplicateObjectError,
)
"""What IF NOT EXISTS ends in when another process commits the same table, or its row type, in the
middle of it."""

_EXISTS = "SELECT to_regclass($1) IS NOT NULL"
_APPLIED = "SELECT name FROM {schema}"
_LOCK = "LOCK TABLE {schema} IN SHARE ROW EXCLUSIVE MODE"
_RECORD = "INSERT INTO {schema} (name) VALUES ('%s')"


class PostgresMigrations:
    """The `Migrations` facet, on a connection of its own each time: it needs no open driver."""

    def __init__(self, server: Server, names: Names) -> None:
        self._server = server
        self._names = names
        self._scripts = {
            file.stem: names.fill(file.read_text(encoding="utf-8"))
            for file in sorted((Path(__file__).parent / "migrations").glob("*.sql"))
        }

    async def pending(self) -> Sequence[str]:
        """Name the migrations that are not applied yet, in order.

        Those of newer releases are not known and do not matter.
        """
        return await self._run(self._pending, writes=False)

    @property
    def names(self) -> Sequence[str]:
        """All migrations, in order."""
        return list(self._scripts)

    async def apply(self) -> Sequence[str]:
        """Apply what is pending in one transaction and name it; safe when run by several at once.

        Raises:
            ConfigurationError: A table of that name is there and is not ours.
            AccessDeniedError: The role may not make tables.
        """
        await self._run(self._make_versions)
        return await self._run(self._apply)

    def sql(self) -> str:
        """Return the whole schema as a script for `psql`."""
        parts = [self._names.fill(_VERSIONS)]
        for name, script in self._scripts.items():
            parts += [script, self._names.fill(_RECORD % name)]
        statements = "\n".join(f"{part.strip().removesuffix(';')};\n" for part in parts)
        return f"BEGIN;\n\n{statements}\nCOMMIT;\n"

    async def _pending(self, connection: Connection) -> list[str]:
        if not await connection.fetchval(_EXISTS, self._names.schema):
            return list(self._scripts)
        rows = await connection.fetch(self._names.fill(_APPLIED))
        applied = {name for (name,) in rows}
        return [name for name in self._scripts if name not in applied]

    async def _make_versions(self, connection: Connection) -> None:
        if await connection.fetchval(_EXISTS, self._names.schema):
            return
        try:
            with contextlib.suppress(*_MADE_MEANWHILE):
                await connection.execute(self._names.fill(_VERSIONS))
        except asyncpg.InvalidSchemaNameError as error:
            raise ConfigurationError(
                f"{self._server.place}: {error}; create that schema, name one in "
                "postgres_queue_table and postgres_dead_letter_table, or correct search_path"
            ) from error

    async def _apply(self, connection: Connection) -> list[str]:
        await connection.execute(self._names.fill(_LOCK))
        names = await self._pending(connection)
        for name in names:
            try:
                await connection.execute(self._scripts[name])
            except asyncpg.DuplicateTableError as error:
                raise ConfigurationError(
                    f"{self._server.place}: {error}, and async-task did not make it; set "
                    "namespace, postgres_queue_table or postgres_dead_letter_table"
                ) from error
            await connection.execute(self._names.fill(_RECORD % name))
        return names

    async def _run(self, work: Callable[[Connection], Awaitable[T]], *, writes: bool = True) -> T:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._server.op_timeout_s
        connection = await self._server.connect_plainly(deadline)
        timer = loop.call_at(deadline, connection.terminate)
        try:
            await connection.execute(self._server.begin())
            result = await work(connection)
            await connection.execute("COMMIT")
        except Exception as error:
            if is_refusal(error):
                raise translate(error, self._server.place) from error
            if isinstance(error, CLIENT_ERRORS) or connection.is_closed():
                late = loop.time() >= deadline
                raise lost(self._server.place, writes=writes, late=late) from error
            raise
        else:
            return result
        finally:
            timer.cancel()
            connection.terminate()
