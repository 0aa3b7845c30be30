"""A connection that is made when it is needed, and made anew when it was lost."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from async_task.spi.errors import ConnectionLostError, DriverError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_task_redis.dialing import Dial
    from async_task_redis.wire import Command, Reply, Wire


class Slots:
    """How many connections a driver may have; counted, not waited for."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0
        self._lock = threading.Lock()  # the keeper counts from another thread

    def take(self) -> None:
        """Count one more.

        Raises:
            DriverError: There are as many as may be.
        """
        with self._lock:
            if self._taken < self._limit:
                self._taken += 1
                return
        raise DriverError(
            f"redis_max_connections={self._limit} connections are open already; a worker needs "
            "four for each server: raise it"
        )

    def give_back(self) -> None:
        """Count one less."""
        with self._lock:
            self._taken -= 1


class Connection:
    """A supervised connection to one server, shared by all tasks of one loop.

    While the server is away every call tries once to reach it and fails as soon as that fails, so
    that it works again with the first call after the server's return. It never sends anything
    twice.

    Args:
        dial: Makes a connection.
        slots: Counts open connections.
    """

    def __init__(self, dial: Dial, slots: Slots) -> None:
        self._dial = dial
        self._slots = slots
        self._wire: Wire | None = None
        self._dialing: asyncio.Task[Wire] | None = None
        self._closed = True

    async def call(
        self, commands: Sequence[Command], *, deadline: float, wait_s: float = 0
    ) -> list[Reply]:
        """Send commands in one piece and return their replies; see `Wire.call`.

        Args:
            commands: At least one.
            deadline: When to give up, on the loop's clock.
            wait_s: How long after that the server may wait by itself before it answers.
        """
        wire = self._wire
        if wire is not None and not wire.lost:
            try:
                return await wire.call(commands, deadline=deadline + wait_s)
            except ConnectionLostError:
                pass  # it was ending already: nothing was sent
        wire = await self.wire(deadline)
        return await wire.call(commands, deadline=deadline + wait_s)

    async def wire(self, deadline: float) -> Wire:
        """Return the connection, made anew if it was lost.

        Raises:
            ConnectionLostError: The server cannot be reached.
            DriverError: It was closed, or there are too many connections.
        """
        if self._closed:
            raise DriverError("the Redis driver is not open: await its open() first")
        if self._wire is not None and not self._wire.lost:
            return self._wire
        dialing = self._dialing
        if dialing is None:  # one for all who wait, whoever of them is cancelled
            dialing = self._dialing = asyncio.create_task(self._connect(deadline))
            dialing.add_done_callback(self._dialed)
        await asyncio.wait([dialing], timeout=deadline - asyncio.get_running_loop().time())
        if not dialing.done() or dialing.cancelled():
            raise ConnectionLostError("the Redis server cannot be reached: no answer in time")
        return dialing.result()

    @property
    def up(self) -> bool:
        """Whether it is connected, as far as is known."""
        return self._wire is not None and not self._wire.lost

    def drop(self, reason: str) -> None:
        """End the connection; the next call makes another."""
        if self._wire is not None:
            self._wire.end(reason)

    def open(self) -> None:
        """Let calls connect."""
        self._closed = False

    def end(self) -> None:
        """End the connection; what waits for it fails, and so does every call until `open`."""
        self._closed = True
        if self._dialing is not None:
            self._dialing.cancel()
        self.drop("was closed by this process")

    async def closed(self) -> None:
        """Wait, after `end`, until the socket is closed."""
        if self._dialing is not None:
            await asyncio.wait([self._dialing])
        if self._wire is not None:
            await self._wire.closed()
        await asyncio.sleep(0)  # sockets are closed by the loop's next turn

    async def _connect(self, deadline: float) -> Wire:
        self._slots.take()
        try:
            wire = await self._dial(deadline)
        except BaseException:
            self._slots.give_back()
            raise
        wire.when_lost(self._slots.give_back)
        self._wire = wire
        return wire

    def _dialed(self, dialing: asyncio.Task[Wire]) -> None:
        self._dialing = None
        if not dialing.cancelled():
            dialing.exception()  # said to those who still wait
