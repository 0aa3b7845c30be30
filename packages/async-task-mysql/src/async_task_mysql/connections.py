"""Connections that calls take turns on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Self

from async_task.spi.errors import ConfigurationError, DriverTimeoutError

from async_task_mysql.failures import (
    CLIENT_ERRORS,
    DEADLOCK,
    code_of,
    is_refusal,
    is_usable_after,
    lost,
    translate,
)

if TYPE_CHECKING:
    from async_task_mysql.client import Client, Outcome
    from async_task_mysql.server import Server

_RESTED_S: Final = 30.0
"""How long a connection may rest; routers in between forget longer silences, and do not say so."""

_ATTEMPTS: Final = 3
"""How often a transaction is tried that the server undid because of a deadlock."""


class Connections:
    """Up to `size` connections to one server, made when needed; each serves one call at a time.

    It belongs to the event loop it is used in.

    Args:
        server: Where to connect.
        size: Most connections.
    """

    def __init__(self, server: Server, size: int) -> None:
        self._server = server
        self._slots = asyncio.Semaphore(size)
        self._idle: list[tuple[float, Client]] = []
        self._busy: set[Client] = set()
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
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._server.op_timeout_s
        while len(self._idle) < count:
            self._idle.append((loop.time(), await self._server.connect(deadline)))

    def close(self) -> None:
        """Drop all connections at once; calls in flight fail. Idempotent."""
        self._closed = True
        for client in (*(client for _, client in self._idle), *self._busy):
            client.abort()
        self._idle.clear()

    async def read(self, script: str) -> list[Outcome]:
        """Run statements that store nothing, each by itself; raises what `write` does."""
        return await self._call([script], writes=False)

    async def write(self, *scripts: str) -> list[Outcome]:
        """Run statements in one transaction, a round trip per script; normally there is one.

        A deadlock undoes all of a transaction, so it is tried again at once, three times in all.

        Returns:
            What each statement came to.

        Raises:
            OutcomeUnknownError: It was sent and no answer came.
            DriverError: It was certainly not carried out.
        """
        first, last = f"START TRANSACTION; {scripts[0]}", f"{scripts[-1]}; COMMIT"
        if len(scripts) == 1:
            outcomes = await self._call([f"{first}; COMMIT"], writes=True)
        else:
            outcomes = await self._call([first, *scripts[1:-1], last], writes=True)
        return outcomes[1:-1]

    async def _call(self, scripts: list[str], *, writes: bool) -> list[Outcome]:
        """Run scripts on one connection.

        A call that is cancelled, or not answered in time, takes its connection with it, so that
        nobody else gets its reply.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._server.op_timeout_s
        await self._slot(deadline)
        try:
            client = await self._client(deadline)
            self._busy.add(client)
            timer = loop.call_at(deadline, client.abort)
            usable = False
            try:
                outcomes = await self._run(client, scripts)
            except Exception as error:
                if is_refusal(error):
                    usable = is_usable_after(error) and await _rolled_back(client)
                    raise translate(error, self._server.place) from error
                # aiomysql may trip over anything when a connection ends between two of its steps.
                if isinstance(error, CLIENT_ERRORS) or client.ended:
                    late = loop.time() >= deadline
                    raise lost(self._server.place, writes=writes, late=late) from error
                raise
            else:
                usable = True
                return outcomes
            finally:
                timer.cancel()
                self._busy.discard(client)
                if usable and not self._closed:
                    self._idle.append((loop.time(), client))
                else:
                    client.abort()
        finally:
            self._slots.release()

    async def _run(self, client: Client, scripts: list[str]) -> list[Outcome]:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return [outcome for script in scripts for outcome in await client.run(script)]
            except CLIENT_ERRORS as error:
                if code_of(error) != DEADLOCK or attempt == _ATTEMPTS:
                    raise
        raise AssertionError

    async def _slot(self, deadline: float) -> None:
        if self._closed:
            raise ConfigurationError("this MySQL driver is not open; await its open() first")
        if not self._slots.locked():
            await self._slots.acquire()
            return
        try:
            async with asyncio.timeout_at(deadline):
                await self._slots.acquire()
        except TimeoutError as error:
            raise DriverTimeoutError(
                f"{self._server.place}: no connection was free within op_timeout; raise "
                "mysql_max_pool_size"
            ) from error

    async def _client(self, deadline: float) -> Client:
        now = asyncio.get_running_loop().time()
        while self._idle:
            since, client = self._idle.pop()
            if not client.ended and now - since < _RESTED_S:
                return client
            client.abort()
        return await self._server.connect(deadline)


async def _rolled_back(client: Client) -> bool:
    """End the transaction that a refused statement leaves open; tell whether it ended."""
    try:
        await client.run("ROLLBACK")
    except CLIENT_ERRORS:
        return False
    return True
