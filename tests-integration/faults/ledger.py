"""Tasks that write to a ledger and end in one transaction, and die at a chosen point of it."""

# aiomysql has no types of its own.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import aiomysql
import asyncpg
from async_task import current_context, task

from faults.app import recorded

POINTS = 8
"""Before the transaction, once its task is locked, after the task's own write, before the statement
that ends the task, before the commit, after it, after the block, and with the connection closed."""


class Fuse:
    """Kills the process when it has been touched so often, and only in the first run of a task.

    Args:
        burns_at: How many touches it stands, less than `POINTS`.
        mark: A file that says it has burnt.
    """

    def __init__(self, burns_at: int, mark: Path) -> None:
        self._left = burns_at
        self._mark = mark

    def touch(self) -> None:
        """Kill the process, or not yet."""
        if self._left == 0 and not self._mark.exists():
            self._mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        self._left -= 1


@task(name="faults.pay", max_retries=0)
async def pay(database: str, url: str, ledger: str, burns_at: int, marks: str) -> None:
    """Enter the task's id into the ledger, once."""
    context = current_context()
    fuse = Fuse(burns_at, Path(marks) / context.task_id)
    insert = f"INSERT INTO {ledger} (entry) VALUES ('{context.task_id}')"
    with recorded():
        fuse.touch()
        async with _CONNECT[database](url, fuse) as (connection, execute):
            transaction = context.transaction(connection)
            if database == "sqlite":
                with transaction:
                    fuse.touch()
                    execute(insert)
                    fuse.touch()
            else:
                async with transaction:
                    fuse.touch()
                    await execute(insert)
                    fuse.touch()
            fuse.touch()
        fuse.touch()


@asynccontextmanager
async def _sqlite(url: str, fuse: Fuse) -> AsyncGenerator[tuple[Any, Any]]:
    class Fused(sqlite3.Connection):
        def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
            if sql.lstrip().startswith("DELETE"):
                fuse.touch()
            return super().execute(sql, *args)

        def commit(self) -> None:
            fuse.touch()
            super().commit()
            fuse.touch()

    with closing(sqlite3.connect(url, factory=Fused, timeout=30)) as db:
        yield db, db.execute


@asynccontextmanager
async def _postgres(url: str, fuse: Fuse) -> AsyncGenerator[tuple[Any, Any]]:
    class Fused(asyncpg.Connection):
        async def fetch(self, query: str, *args: Any, **kwargs: Any) -> Any:
            if query.lstrip().startswith("DELETE"):
                fuse.touch()
            return await super().fetch(query, *args, **kwargs)

        async def execute(self, query: str, *args: Any, **kwargs: Any) -> Any:
            if query.startswith("COMMIT"):
                fuse.touch()
            done = await super().execute(query, *args, **kwargs)
            if query.startswith("COMMIT"):
                fuse.touch()
            return done

    connection = await asyncpg.connect(url, connection_class=Fused)
    try:
        yield connection, connection.execute
    finally:
        await connection.close()


@asynccontextmanager
async def _mysql(url: str, fuse: Fuse) -> AsyncGenerator[tuple[Any, Any]]:
    class Fused(aiomysql.Connection):  # type: ignore[misc]  # aiomysql has no types
        async def query(self, sql: Any, *args: Any, **kwargs: Any) -> Any:
            if str(sql).lstrip().startswith("DELETE"):
                fuse.touch()
            return await super().query(sql, *args, **kwargs)

        async def commit(self) -> None:
            fuse.touch()
            await super().commit()
            fuse.touch()

    parts = urlsplit(url)
    connection = Fused(
        host=parts.hostname or "",
        port=parts.port or 0,
        user=parts.username,
        password=unquote(parts.password or ""),
        db=parts.path.strip("/"),
    )
    await connection._connect()  # pyright: ignore[reportPrivateUsage] - what connect() does
    try:

        async def execute(sql: str) -> None:
            async with connection.cursor() as cursor:
                await cursor.execute(sql)

        yield connection, execute
    finally:
        connection.close()


_CONNECT = {"sqlite": _sqlite, "postgres": _postgres, "mysql": _mysql}
