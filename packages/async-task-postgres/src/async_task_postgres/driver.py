"""The driver: tables of one PostgreSQL database as a store of queues."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from async_task.spi.driver import BaseDriver
from async_task.spi.errors import AccessDeniedError, ConfigurationError
from async_task.spi.messages import QueueStats
from asyncpg.pgproto.pgproto import UUID

from async_task_postgres.connections import Connections
from async_task_postgres.consumer import RECLAIM_LIMIT, PostgresConsumer
from async_task_postgres.control import PostgresControl
from async_task_postgres.dead_letters import PostgresDeadLetters
from async_task_postgres.keeper import PostgresKeeper
from async_task_postgres.names import Names
from async_task_postgres.plugin import CAPABILITIES
from async_task_postgres.queries import Queries
from async_task_postgres.results import PostgresResults
from async_task_postgres.schema import PostgresMigrations
from async_task_postgres.server import Server
from async_task_postgres.store import Store
from async_task_postgres.transactions import PostgresTransactions
from async_task_postgres.wakeup import MESSAGES, Wakeup

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from async_task.spi.driver import ConsumerOptions, DriverOptions
    from async_task.spi.messages import Message

    from async_task_postgres.settings import PostgresSettings

_OUTLIVED_LIMIT = 1000
"""Most results dropped by one `maintain`."""


class PostgresDriver(BaseDriver):
    """A store in four tables of a database.

    Args:
        settings: Where the database is, and how many connections may be used.
        options: Namespace (a prefix of the tables) and the bound of a call.
    """

    capabilities = CAPABILITIES

    def __init__(self, settings: PostgresSettings, options: DriverOptions) -> None:
        self._settings = settings
        self._names = Names.of(settings, options.namespace)
        self._queries = Queries.of(self._names)
        self._server = Server(settings.dsn or "", options.op_timeout_ms)
        self._opened: Store | None = None
        self._lanes: list[Connections] = []
        self._migrations = PostgresMigrations(self._server, self._names)
        self.migrations = self._migrations
        self.transactions = PostgresTransactions(self._names)
        self.dead_letters = PostgresDeadLetters(self._store)
        self.results = PostgresResults(self._store)
        self.control = PostgresControl(self._store)

    async def open(self) -> None:
        """Connect and look at the server; make the tables if there are none at all.

        Raises:
            ConfigurationError: The server is too old, the database or the tables are missing and
                cannot be made, or migrations are pending; says what to do.
            DriverError: It cannot be reached.
        """
        if self._opened is not None:
            return
        await self._server.look()
        await self._check_schema()
        connections = Connections(self._server, self._settings.max_pool_size)
        try:
            await connections.warm(self._settings.min_pool_size)
        except BaseException:
            connections.close()
            raise
        wakeup = Wakeup(
            self._server,
            self._names.channel,
            connections,
            sends=self._settings.notify,
            hears=self._settings.notify and not self._server.pooled,
        )
        self._opened = Store(connections, self._queries, wakeup)

    async def close(self) -> None:
        """Drop all connections, after the last hint was sent, within `op_timeout`."""
        store, self._opened = self._opened, None
        if store is not None:
            try:
                await store.wakeup.close()
            finally:
                store.connections.close()
                for lane in self._lanes:
                    lane.close()

    async def ping(self) -> None:
        """Make one round trip."""
        await self._store().connections.fetch("SELECT 1", writes=False)

    async def provision(self, queues: Sequence[str]) -> None:
        """Note the names of queues, for `Control.queues`; they come into being by use as well."""
        store = self._store()
        await store.connections.fetch(store.queries.provision, sorted(set(queues)))

    async def enqueue(self, messages: Sequence[Message]) -> Sequence[int]:
        """Store messages in one statement, committed before it returns: all of them or none.

        Returns:
            The positions of messages that are here already, dead letters included.
        """
        if not messages:
            return ()
        store = self._store()
        # Two calls that store the same messages must not wait for each other in a circle.
        order = sorted(range(len(messages)), key=lambda i: messages[i].id)
        ordered = [messages[i] for i in order]
        rows = await store.connections.fetch(
            store.queries.enqueue,
            [UUID(m.id) for m in ordered],
            [m.queue for m in ordered],
            [m.priority for m in ordered],
            [m.delay_ms for m in ordered],
            [m.expires_in_ms for m in ordered],
            [m.body for m in ordered],
            order,
        )
        store.wakeup.announce(MESSAGES)
        if len(rows) == len(messages):
            return ()
        return sorted(set(order).difference(place for (place,) in rows))

    @asynccontextmanager
    async def consumer(self, options: ConsumerOptions) -> AsyncGenerator[PostgresConsumer, None]:
        """Yield what takes messages, on two connections of its own.

        So neither other calls nor a lease that gets no answer keep a settlement waiting.
        """
        del options  # a lease call names its queues, and holds no more than its limit
        store = self._store()
        async with (
            self._lane(Connections(self._server, 1)) as leasing,
            self._lane(Connections(self._server, 1)) as settling,
        ):
            yield PostgresConsumer(leasing, settling, store.queries, store.wakeup)

    @asynccontextmanager
    async def keeper(self) -> AsyncGenerator[PostgresKeeper, None]:
        """Yield what renews leases, on a connection of its own, in whatever loop it is entered."""
        async with Connections(self._server, 1) as connections:
            yield PostgresKeeper(connections, self._queries)

    async def maintain(self) -> None:
        """Reclaim expired leases and drop outlived results, a bounded number."""
        store = self._store()
        await store.connections.fetch(store.queries.reclaim, RECLAIM_LIMIT)
        await store.connections.fetch(store.queries.drop_outlived, _OUTLIVED_LIMIT)

    async def stats(self, queues: Sequence[str]) -> Sequence[QueueStats]:
        """Count queues; walks the index entries of each."""
        store = self._store()
        rows = await store.connections.fetch(store.queries.stats, list(queues), writes=False)
        return [QueueStats(queue, *row) for queue, row in zip(queues, rows, strict=True)]

    async def purge(self, queue: str) -> int:
        """Delete what is ready or delayed in a queue; returns how many."""
        store = self._store()
        [(count,)] = await store.connections.fetch(store.queries.purge, queue)
        return int(count)

    def _store(self) -> Store:
        if self._opened is None:
            raise ConfigurationError("this PostgreSQL driver is not open; await its open() first")
        return self._opened

    @asynccontextmanager
    async def _lane(self, connections: Connections) -> AsyncGenerator[Connections, None]:
        """Yield connections that end with the driver, or before."""
        self._lanes.append(connections)
        try:
            yield connections
        finally:
            self._lanes.remove(connections)
            connections.close()

    async def _check_schema(self) -> None:
        pending = list(await self._migrations.pending())
        if not pending:
            return
        remedy = "run `async-task migrate`, or have its `--sql` run by who may"
        if pending != self._migrations.names:
            raise ConfigurationError(
                f"{self._server.place} lacks {', '.join(pending)} of async-task's schema; {remedy}"
            )
        try:
            await self._migrations.apply()
        except AccessDeniedError as error:
            raise ConfigurationError(
                f"{self._server.place} has no tables of async-task, and this role may not make "
                f"them ({error}); {remedy}"
            ) from error
