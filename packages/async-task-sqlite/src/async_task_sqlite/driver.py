"""The driver: one SQLite file as a store of queues."""

from __future__ import annotations

import os
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from async_task.spi.driver import BaseDriver
from async_task.spi.messages import QueueStats

from async_task_sqlite import rows
from async_task_sqlite.connection import BULK, Connection
from async_task_sqlite.consumer import SqliteConsumer
from async_task_sqlite.control import SqliteControl
from async_task_sqlite.dead_letters import SqliteDeadLetters
from async_task_sqlite.keeper import SqliteKeeper
from async_task_sqlite.leases import reclaim, repeated
from async_task_sqlite.place import check_place
from async_task_sqlite.plugin import CAPABILITIES
from async_task_sqlite.queries import Queries
from async_task_sqlite.results import SqliteResults
from async_task_sqlite.schema import Schema, SqliteMigrations
from async_task_sqlite.session import Session
from async_task_sqlite.store import Store
from async_task_sqlite.transactions import SqliteTransactions
from async_task_sqlite.wakeup import MESSAGES, Wakeup

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncGenerator, Callable, Sequence

    from async_task.spi.driver import ConsumerOptions, DriverOptions
    from async_task.spi.messages import Message

    from async_task_sqlite.settings import SqliteSettings

_TIDY_AT_MOST = 20
"""Transactions of one `maintain`, so that 20,000 results a second can be dropped."""


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


class SqliteDriver(BaseDriver):
    """A store in one file, shared by any number of processes of one host.

    Args:
        settings: Where the file is.
        options: Namespace (a prefix of the tables) and the bound of a call.
        now_ms: The store's clock, Unix milliseconds; the host's wall clock, which all processes on
            one file share.
    """

    capabilities = CAPABILITIES

    def __init__(
        self,
        settings: SqliteSettings,
        options: DriverOptions,
        *,
        now_ms: Callable[[], int] = _wall_clock_ms,
    ) -> None:
        self._path = os.path.abspath(settings.path)
        self._options = options
        self._schema = Schema(options.namespace)
        self._wakeup = Wakeup(self._path)
        self._connection = self._make_connection(self._schema)
        self._queries = Queries.for_prefix(self._schema.prefix)
        self._now_ms = now_ms
        self._store = Store(self._connection, self._queries, self._wakeup, now_ms)
        self.dead_letters = SqliteDeadLetters(self._store)
        self.results = SqliteResults(self._store)
        self.control = SqliteControl(self._store)
        self.transactions = SqliteTransactions(self._schema.prefix, now_ms)
        self.migrations = SqliteMigrations(lambda: self._make_connection(None), self._schema)

    async def open(self) -> None:
        """Open the file, making it and its tables when missing.

        Raises:
            ConfigurationError: The place does not exist, or the file is no database, or a newer
                version of this package made its tables.
            DriverError: It cannot be opened now.
        """
        check_place(self._path)
        await self._connection.open()

    async def close(self) -> None:
        """Close the file and remove the mailbox, within `op_timeout`."""
        self._wakeup.close()
        await self._connection.close()

    async def ping(self) -> None:
        """Read from the file once."""
        await self._connection.read(lambda db: db.execute(self._queries.paused).fetchall())

    async def provision(self, queues: Sequence[str]) -> None:
        """Note the names of queues, for `Control.queues`; `enqueue` does the same by itself."""
        names = [(name,) for name in queues]
        await self._connection.write(lambda db: db.executemany(self._queries.add_queue, names))

    async def enqueue(self, messages: Sequence[Message]) -> Sequence[int]:
        """Store messages in one transaction, synced before it returns: all of them or none.

        Returns:
            The positions of messages that are here already, dead letters included.
        """
        q = self._queries

        def enqueue(db: sqlite3.Connection) -> list[int]:
            now = self._now_ms()
            ids = [m.id for m in messages]
            stored = db.execute(
                q.stored, {"count": len(ids), "ids": b"".join(ids), "lease_ids": b""}
            ).fetchall()
            duplicates = {i for (i,) in stored} | repeated(ids)
            fresh = [
                (
                    m.id,
                    m.queue,
                    m.priority,
                    now + m.delay_ms,
                    None if m.expires_in_ms is None else now + m.expires_in_ms,
                    m.body,
                )
                for i, m in enumerate(messages)
                if i not in duplicates
            ]
            rows.insert(db, q.insert, fresh)
            db.executemany(q.add_queue, [(name,) for name in {m.queue for m in messages}])
            return sorted(duplicates)

        return await self._connection.write(enqueue, wakes=MESSAGES) if messages else ()

    @asynccontextmanager
    async def consumer(self, options: ConsumerOptions) -> AsyncGenerator[SqliteConsumer, None]:
        """Yield what takes messages; it shares the driver's connection."""
        del options  # a lease call names its queues, and holds no more than its limit
        yield SqliteConsumer(self._store)

    @asynccontextmanager
    async def keeper(self) -> AsyncGenerator[SqliteKeeper, None]:
        """Yield what renews leases, on a connection and a thread of its own."""
        async with self._make_connection(self._schema) as connection:
            yield SqliteKeeper(Store(connection, self._queries, self._wakeup, self._now_ms))

    async def maintain(self) -> None:
        """Reclaim expired leases and drop outlived results, a bounded number.

        Takes the write lock only if there is something to do.
        """
        q = self._queries

        def idle(db: sqlite3.Connection) -> bool:
            now = self._now_ms()
            end = db.execute(q.next_lease_end).fetchone()
            outlived = db.execute(q.outlived, {"now": now}).fetchone()
            return outlived is None and (end is None or end[0] > now)

        def tidy(db: sqlite3.Connection) -> int:
            now = self._now_ms()
            reclaim(db, q, now)
            return db.execute(q.drop_outlived, {"now": now, "limit": BULK}).rowcount

        def maintain(session: Session) -> None:
            for _ in range(_TIDY_AT_MOST):
                if session.read(idle) or session.write(tidy, durable=False) < BULK:
                    break

        await self._connection.run(maintain)

    async def stats(self, queues: Sequence[str]) -> Sequence[QueueStats]:
        """Count queues; walks the index entries of each."""
        q = self._queries

        def count(db: sqlite3.Connection) -> list[QueueStats]:
            now = self._now_ms()
            counted: list[QueueStats] = []
            for queue in queues:
                at = {"queue": queue, "now": now}
                ready, delayed, oldest = db.execute(q.count_waiting, at).fetchone()
                (leased,) = db.execute(q.count_leased, at).fetchone()
                (dead,) = db.execute(q.count_dead, at).fetchone()
                age = now - oldest if ready else None
                counted.append(QueueStats(queue, ready, delayed, leased, dead, age))
            return counted

        return await self._connection.read(count)

    async def purge(self, queue: str) -> int:
        """Delete what is ready or delayed in a queue; returns how many. See `write_bulk`."""
        return await self._connection.write_bulk(self._queries.purge, {"queue": queue})

    def _make_connection(self, schema: Schema | None) -> Connection:
        return Connection(
            lambda: Session(self._path, schema),
            op_timeout_ms=self._options.op_timeout_ms,
            wakeup=self._wakeup,
        )
