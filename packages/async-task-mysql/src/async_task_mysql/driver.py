"""The driver: tables of one MySQL or MariaDB database as a store of queues."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from async_task.spi.driver import BaseDriver
from async_task.spi.errors import (
    AccessDeniedError,
    ConfigurationError,
    DriverError,
    MessageTooLargeError,
)
from async_task.spi.messages import QueueStats

from async_task_mysql.connections import Connections
from async_task_mysql.consumer import RECLAIM_LIMIT, MysqlConsumer
from async_task_mysql.control import MysqlControl
from async_task_mysql.dead_letters import MysqlDeadLetters
from async_task_mysql.failures import is_duplicate
from async_task_mysql.keeper import MysqlKeeper
from async_task_mysql.names import Names
from async_task_mysql.plugin import CAPABILITIES
from async_task_mysql.queries import Queries
from async_task_mysql.results import MysqlResults
from async_task_mysql.schema import MysqlMigrations
from async_task_mysql.server import Server
from async_task_mysql.store import Store
from async_task_mysql.template import Sql, listed, packets
from async_task_mysql.transactions import MysqlTransactions
from async_task_mysql.wakeup import MESSAGES, Wakeup

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from async_task.spi.driver import ConsumerOptions, DriverOptions
    from async_task.spi.messages import Message

    from async_task_mysql.client import Outcome
    from async_task_mysql.settings import MysqlSettings

_OUTLIVED_LIMIT: Final = 1000
"""Most results dropped by one `maintain`."""

_ROOM: Final = 1 << 17
"""What a packet needs beside its rows: the ids of 1,000 messages twice, and the statements."""


class MysqlDriver(BaseDriver):
    """A store in four tables of a database.

    Args:
        settings: Where the database is, and how many connections may be used.
        options: Namespace (a prefix of the tables) and the bound of a call.
    """

    def __init__(self, settings: MysqlSettings, options: DriverOptions) -> None:
        self.capabilities = CAPABILITIES
        self._settings = settings
        self._names = Names.of(settings, options.namespace)
        self._queries = Queries(self._names)
        self._server = Server(settings.address(), options.op_timeout_ms)
        self._opened: Store | None = None
        self._lanes: list[Connections] = []
        self._migrations = MysqlMigrations(self._server, self._names)
        self.migrations = self._migrations
        self.dead_letters = MysqlDeadLetters(self._store)
        self.results = MysqlResults(self._store)
        self.control = MysqlControl(self._store)
        self.transactions = MysqlTransactions(self._names)

    async def open(self) -> None:
        """Connect and look at the server; make the tables if there are none at all.

        Raises:
            ConfigurationError: The server cannot serve, the database or the tables are missing and
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
        self.capabilities = replace(CAPABILITIES, max_body=(self._server.max_packet - _ROOM) // 2)
        self._opened = Store(connections, self._queries, Wakeup(), self._server.op_timeout_s)

    async def close(self) -> None:
        """Drop all connections, at once."""
        store, self._opened = self._opened, None
        if store is not None:
            store.connections.close()
            for lane in self._lanes:
                lane.close()

    async def ping(self) -> None:
        """Make one round trip."""
        await self._store().connections.read("SELECT 1")

    async def provision(self, queues: Sequence[str]) -> None:
        """Note the names of queues, for `Control.queues`; they come into being by use as well."""
        store = self._store()
        if queues:
            rows = Sql(", ".join(f"({listed([queue])})" for queue in sorted(set(queues))))
            await store.connections.write(store.queries.provision(rows=rows))

    async def enqueue(self, messages: Sequence[Message]) -> Sequence[int]:
        """Store messages in one transaction, committed before it returns: all of them or none.

        One round trip, or one per packet if they do not fit into one.

        Returns:
            The positions of messages that are here already, dead letters included.
        """
        if not messages:
            return ()
        self._check_sizes(messages)
        store = self._store()
        # Two calls that store the same messages must not wait for each other in a circle.
        order = sorted(range(len(messages)), key=lambda i: messages[i].id)
        rows = [self._row(messages[i], i) for i in order]
        ids = listed(messages[i].id for i in order)
        insert, insert_new = store.queries.insert, store.queries.insert_new
        try:
            statements = [insert(rows=Sql(", ".join(p))) for p in packets(rows, self._room)]
            inserted, buried = await self._insert(store, statements, ids)
            stored = [True] * len(order)
        except DriverError as error:
            if not is_duplicate(error):
                raise
            # Some are here already, and only an insert of its own says which.
            statements = [insert_new(rows=row) for row in rows]
            inserted, buried = await self._insert(store, statements, ids)
            stored = [each.count == 1 for each in inserted]
        store.wakeup.announce(MESSAGES)
        if all(stored) and not buried:
            return ()
        return sorted(
            i
            for i, is_new in zip(order, stored, strict=True)
            if not is_new or messages[i].id in buried
        )

    @asynccontextmanager
    async def consumer(self, options: ConsumerOptions) -> AsyncGenerator[MysqlConsumer, None]:
        """Yield what takes messages, on two connections of its own.

        So neither other calls nor a lease that gets no answer keep a settlement waiting.
        """
        del options  # a lease call names its queues, and holds no more than its limit
        store = self._store()
        async with (
            self._lane(Connections(self._server, 1)) as leasing,
            self._lane(Connections(self._server, 1)) as settling,
        ):
            yield MysqlConsumer(leasing, settling, store, self._room)

    @asynccontextmanager
    async def keeper(self) -> AsyncGenerator[MysqlKeeper, None]:
        """Yield what renews leases, on a connection of its own, in whatever loop it is entered."""
        async with Connections(self._server, 1) as connections:
            yield MysqlKeeper(connections, self._queries)

    async def maintain(self) -> None:
        """Reclaim expired leases and drop outlived results, a bounded number."""
        store = self._store()
        await store.connections.write(store.queries.reclaim(limit=RECLAIM_LIMIT))
        await store.connections.write(store.queries.drop_outlived(limit=_OUTLIVED_LIMIT))

    async def stats(self, queues: Sequence[str]) -> Sequence[QueueStats]:
        """Count queues; walks the index entries of each."""
        store = self._store()
        if not queues:
            return []
        scripts = (store.queries.stats(queue=queue) for queue in queues)
        outcomes = await store.connections.read("; ".join(scripts))
        counts = [row for outcome in outcomes for row in outcome.rows]
        return [QueueStats(queue, *row) for queue, row in zip(queues, counts, strict=True)]

    async def purge(self, queue: str) -> int:
        """Delete what is ready or delayed in a queue, many at a time; returns how many."""
        store = self._store()
        return await store.purge(store.queries.purge, queue)

    @property
    def _room(self) -> int:
        """How much of a packet is there for rows."""
        return self._server.max_packet - _ROOM

    def _check_sizes(self, messages: Sequence[Message]) -> None:
        largest = self.capabilities.max_body or 0
        for message in messages:
            if len(message.body) > largest:
                raise MessageTooLargeError(
                    f"a body of {len(message.body)} bytes is larger than the {largest} that "
                    f"{self._server.place} takes; raise its max_allowed_packet (16 MiB for the "
                    "most), or send less"
                )

    def _row(self, message: Message, place: int) -> Sql:
        """Return a row; later places of a call are due microseconds later, which keeps order."""
        expiry_ms = message.expires_in_ms
        return self._queries.row(
            id=message.id,
            queue=message.queue,
            priority=message.priority,
            delay=message.delay_ms * 1000 + place,
            expiry=None if expiry_ms is None else expiry_ms * 1000,
            body=message.body,
        )

    async def _insert(
        self, store: Store, statements: Sequence[str], ids: Sql
    ) -> tuple[Sequence[Outcome], set[bytes]]:
        """Insert in one transaction; return what came of it, and the ids of dead letters."""
        scripts = ["; ".join(packet) for packet in packets(statements, self._room)]
        scripts[0] = f"{store.queries.clock()}; {scripts[0]}"
        scripts[-1] = f"{scripts[-1]}; {store.queries.unbury(ids=ids)}"
        [_, *inserted, buried, _] = await store.connections.write(*scripts)
        return inserted, {id_ for (id_,) in buried.rows}

    def _store(self) -> Store:
        if self._opened is None:
            raise ConfigurationError("this MySQL driver is not open; await its open() first")
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
                f"{self._server.place} has no tables of async-task, and this user may not make "
                f"them ({error}); {remedy}"
            ) from error
