"""Connections that calls take turns on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

from async_task.spi.errors import ConfigurationError, DriverTimeoutError

from async_task_postgres.failures import CLIENT_ERRORS, is_refusal, is_usable_after, lost, translate

if TYPE_CHECKING:
    from async_task_postgres.server import Connection, Server

Rows = list[Any]
"""Rows as asyncpg returns them: sequences of columns."""


class Connections:
    """Up to `size` connections to one server, made when needed; each serves one call at a time.

    It belongs to the event loop it is used in. asyncpg's own pool is not used, because a call
    through it cannot be bounded: it waits for a reply also to end a connection that gave none.

    Args:
        server: Where to connect.
        size: Most connections.
    """

    def __init__(self, server: Server, size: int) -> None:
        self._server = server
        self._begin = server.begin()
        self._slots = asyncio.Semaphore(size)
        self._idle: list[Connection] = []
        self._busy: set[Connection] = set()
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.close()

    async def warm(self, count: int) -> None:
        """Make `count` connections in advance.

        Raises:
            DriverError: They cannot be made.
        """
        deadline = asyncio.get_running_loop().time() + self._server.op_timeout_s
        while len(self._idle) < count:
            self._idle.append(await self._server.connect(deadline))

    def close(self) -> None:
        """Drop all connections at once; calls in flight fail. Idempotent."""
        self._closed = True
        for connection in (*self._idle, *self._busy):
            connection.terminate()
        self._idle.clear()

    async def fetch(self, sql: str, *args: object, writes: bool = True) -> Rows:
        """Run one statement in a transaction of its own.

        A call that is cancelled, or not answered in time, takes its connection with it, so that
        nobody else gets its reply.

        Args:
            sql: The statement.
            *args: Its arguments.
            writes: Whether it might store something.

        Raises:
            OutcomeUnknownError: It was sent, writes, and no answer came.
            DriverError: It was certainly not carried out.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._server.op_timeout_s
        await self._slot(deadline)
        try:
            connection = await self._connection(deadline)
            self._busy.add(connection)
            timer = loop.call_at(deadline, connection.terminate)
            usable = False
            try:
                rows = await self._run(connection, sql, args)
                usable = True
            except Exception as error:
                if is_refusal(error):
                    usable = is_usable_after(error) and not self._server.pooled
                    raise translate(error, self._server.place) from error
                # asyncpg may trip over anything when a connection ends between two of its steps.
                if isinstance(error, CLIENT_ERRORS) or connection.is_closed():
                    late = loop.time() >= deadline
                    raise lost(self._server.place, writes=writes, late=late) from error
                raise
            finally:
                timer.cancel()
                self._busy.discard(connection)
                if usable and not self._closed:
                    self._idle.append(connection)
                else:
                    connection.terminate()
            return rows
        finally:
            self._slots.release()

    async def _slot(self, deadline: float) -> None:
        if self._closed:
            raise ConfigurationError("this PostgreSQL driver is not open; await its open() first")
        if not self._slots.locked():
            await self._slots.acquire()
            return
        try:
            async with asyncio.timeout_at(deadline):
                await self._slots.acquire()
        except TimeoutError as error:
            raise DriverTimeoutError(
                f"{self._server.place}: no connection was free within op_timeout; raise "
                "postgres_max_pool_size"
            ) from error

    async def _connection(self, deadline: float) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        return await self._server.connect(deadline)

    async def _run(self, connection: Connection, sql: str, args: tuple[object, ...]) -> Rows:
        rows: Rows
        if not self._server.pooled:
            rows = await connection.fetch(sql, *args)
            return rows
        # The session is ours from BEGIN to COMMIT only.
        await connection.execute(self._begin)
        rows = await connection.fetch(sql, *args)
        await connection.execute("COMMIT")
        return rows
