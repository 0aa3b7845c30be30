"""The tables: numbered scripts in `migrations/`.

A table names what was applied. Several may apply at once: one at a time holds the server's lock of
that name, and the others find the change made. Every statement of DDL commits by itself, so scripts
consist of statements that may be repeated: one that was cut off is completed by the next run.
Scripts only add, in a way that the release before still works with: during a deployment old workers
run on the new schema.
"""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from async_task.spi.errors import ConfigurationError, DriverTimeoutError

from async_task_mysql.failures import (
    CLIENT_ERRORS,
    NO_SUCH_TABLE,
    code_of,
    is_refusal,
    lost,
    translate,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from async_task_mysql.client import Client
    from async_task_mysql.names import Names
    from async_task_mysql.server import Server

T = TypeVar("T")

_VERSIONS = """
CREATE TABLE IF NOT EXISTS {schema} (
    name VARCHAR(80) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY,
    applied_at DATETIME(6) NOT NULL
) ENGINE = InnoDB, COMMENT = 'async-task: applied migrations'
"""
_RECORD = "INSERT INTO {schema} (name, applied_at) VALUES ('%s', UTC_TIMESTAMP(6))"
_OURS = "COMMENT='async-task: "
"""What only tables of ours have in `SHOW CREATE TABLE`."""


class MysqlMigrations:
    """The `Migrations` facet, on a connection of its own each time: it needs no open driver."""

    def __init__(self, server: Server, names: Names) -> None:
        self._server = server
        self._names = names
        self._lock = f"async_task.{hashlib.sha256(names.schema.encode()).hexdigest()[:40]}"
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
        """Apply what is pending and name it; safe when run by several at once.

        Raises:
            ConfigurationError: A table of that name is there and is not ours.
            AccessDeniedError: The user may not make tables.
        """
        return await self._run(self._apply)

    def sql(self) -> str:
        """Return the whole schema as a script for `mysql` or `mariadb`."""
        parts = [self._names.fill(_VERSIONS)]
        for name, script in self._scripts.items():
            parts += [script, self._names.fill(_RECORD % name)]
        return "\n".join(f"{part.strip().removesuffix(';')};\n" for part in (*parts, "COMMIT"))

    async def _pending(self, client: Client) -> list[str]:
        try:
            [applied] = await client.run(self._names.fill("SELECT name FROM {schema}"))
        except CLIENT_ERRORS as error:
            if code_of(error) != NO_SUCH_TABLE:
                raise
            return list(self._scripts)
        return [name for name in self._scripts if (name,) not in applied.rows]

    async def _apply(self, client: Client) -> list[str]:
        [locked] = await client.run(
            f"SELECT GET_LOCK('{self._lock}', {max(1, int(self._server.op_timeout_s * 0.9))})"
        )
        if locked.rows != ((1,),):
            raise DriverTimeoutError(
                f"{self._server.place}: another process has been migrating for all of op_timeout"
            )
        pending = await self._pending(client)
        if pending:  # or the user may need no right to make tables
            for table in ("{schema}", "{queue}", "{dead}", "{results}", "{queues}"):
                await self._check_ours(client, self._names.fill(table))
            await client.run(self._names.fill(_VERSIONS))
        for name in pending:
            await client.run(self._scripts[name])
            await client.run(self._names.fill(_RECORD % name))
        return pending

    async def _check_ours(self, client: Client, table: str) -> None:
        try:
            [made] = await client.run(f"SHOW CREATE TABLE {table}")
        except CLIENT_ERRORS as error:
            if code_of(error) != NO_SUCH_TABLE:
                raise
        else:
            if _OURS not in made.rows[0][1]:
                raise ConfigurationError(
                    f"{self._server.place}: the table {table} exists, and async-task did not make "
                    "it; set namespace, mysql_queue_table or mysql_dead_letter_table"
                )

    async def _run(self, work: Callable[[Client], Awaitable[T]], *, writes: bool = True) -> T:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._server.op_timeout_s
        client = await self._server.connect(deadline)
        timer = loop.call_at(deadline, client.abort)
        try:
            return await work(client)
        except Exception as error:
            if is_refusal(error):
                raise translate(error, self._server.place) from error
            if isinstance(error, CLIENT_ERRORS) or client.ended:
                late = loop.time() >= deadline
                raise lost(self._server.place, writes=writes, late=late) from error
            raise
        finally:
            timer.cancel()
            client.abort()
