"""Taking messages and ending leases."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NoReturn

from async_task.spi.errors import DriverError, DriverTimeoutError, UnsupportedError

from async_task_rabbitmq.failures import NoQueueError
from async_task_rabbitmq.held import Held
from async_task_rabbitmq.publisher import Parcel
from async_task_rabbitmq.settling import Settling
from async_task_rabbitmq.tap import Tap
from async_task_rabbitmq.visit import Visit

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from async_task.spi.messages import Lease, Settlement

    from async_task_rabbitmq.link import Link
    from async_task_rabbitmq.names import Names
    from async_task_rabbitmq.publisher import Publisher
    from async_task_rabbitmq.tap import Received
    from async_task_rabbitmq.thread import IoThread
    from async_task_rabbitmq.topology import Topology


_FAREWELL_S: Final = 0.2
"""How long a consumer stays after its last acknowledgement, so that RabbitMQ writes down what it
set aside; that takes milliseconds, but nothing tells when it is done."""


class RabbitmqConsumer:
    """The `Consumer` of this driver, with a connection of its own: its leases live as long.

    Args:
        io: Where everything below lives.
        link: The connection.
        names: What the queues are called.
        topology: What declares them.
        publisher: What publishes copies.
        timeout_s: Bound of one call.
        prefetch: Most messages asked of a queue at once; `None` for as many as are wanted.
    """

    def __init__(
        self,
        io: IoThread,
        link: Link,
        names: Names,
        topology: Topology,
        publisher: Publisher,
        *,
        timeout_s: float,
        prefetch: int | None,
    ) -> None:
        self._io = io
        self._link = link
        self._names = names
        self._topology = topology
        self._publisher = publisher
        self._timeout_s = timeout_s
        self._prefetch = prefetch
        self._taps: dict[str, Tap] = {}
        self._visits: set[Visit] = set()
        self._held = Held(self._expired)
        self._settling = Settling(publisher, self._held, timeout_s)
        self._going_on: set[asyncio.Task[None]] = set()

    async def lease(
        self,
        queues: Sequence[str],
        limit: int,
        *,
        wait_ms: int,
        lease_id: bytes,
        visibility_ms: int,
    ) -> Sequence[Lease]:
        """Hand out up to `limit` messages; see `Consumer.lease`.

        Queues are counted first, all at once, and the most urgent that has something is asked. Only
        when all are empty it waits, for one message of any of them.
        """
        visit = Visit(queues, limit, lease_id, self._give_back)
        self._io.post(self._visits.add, visit)  # before any interruption that is asked for later
        try:
            return await self._io.run(self._lease(visit, wait_ms / 1000, visibility_ms))
        except asyncio.CancelledError:
            self._io.post(self._cancel, visit)
            raise

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[int]:
        """End leases; see `Consumer.settle`.

        What does not end in time goes on: repeating the call waits for it again.
        """
        return await self._io.run(self._settling.settle(settlements))

    async def recover(self, lease_id: bytes) -> NoReturn:
        """Refuse: a lease call always ends with what it took, or gives that back."""
        raise UnsupportedError(
            "RabbitMQ knows nothing of lease ids; what a call without an answer took is given back",
            capability="recoverable_lease",
            driver="rabbitmq",
        )

    def interrupt(self) -> None:
        """Make the `lease` calls that wait now return what they have."""
        self._io.post(self._wake)

    def extend(self, lease: Lease, visibility_ms: int) -> bool:
        """Let a lease hold for longer; return whether it is one of ours, and current."""
        return self._held.extend(lease, visibility_ms)

    def tidy(self) -> None:
        """Forget leases that were lost."""
        self._held.tidy()

    async def close(self) -> None:
        """Close the connection; what is being given back or settled gets the time of a call."""
        for visit in [*self._visits]:
            visit.abandon()
        if self._going_on:
            await asyncio.wait(self._going_on, timeout=self._timeout_s / 2)
        await self._settling.wait(self._timeout_s / 2)
        if self._taps:
            await asyncio.sleep(_FAREWELL_S)
        await self._link.close()

    def _wake(self) -> None:
        for visit in self._visits:
            visit.woken.set()

    async def _lease(self, visit: Visit, wait_s: float, visibility_ms: int) -> Sequence[Lease]:
        task = self._keep(self._visit(visit, wait_s))
        await asyncio.wait([task], timeout=wait_s + self._timeout_s)
        self._visits.discard(visit)
        if not task.done():
            visit.abandon()
            raise DriverTimeoutError("RabbitMQ did not answer a lease call in time")
        task.result()
        visit.leases = [
            self._held.begin(each, visit.lease_id, visibility_ms) for each in visit.taken
        ]
        return visit.leases

    def _cancel(self, visit: Visit) -> None:
        """Give back what a call took that nobody waits for."""
        for lease in visit.leases or ():
            self._held.end(lease)
        visit.abandon()

    async def _visit(self, visit: Visit, wait_s: float) -> None:
        names = ((queue, name) for queue in visit.queues for name in self._names.levels(queue))
        taps = [self._tap(queue, name) for queue, name in names]
        try:
            counts = await asyncio.gather(*(tap.count() for tap in taps))
            for tap, count in zip(taps, counts, strict=True):
                if count and not visit.woken.is_set():
                    await tap.fetch(visit, min(count, visit.limit, self._prefetch or count))
            if wait_s > 0 and not visit.woken.is_set():
                await self._wait(visit, taps, wait_s)
        except NoQueueError:
            self._topology.forget()
            if not visit.taken:
                raise
        except DriverError:
            if not visit.taken:
                raise

    async def _wait(self, visit: Visit, taps: Sequence[Tap], wait_s: float) -> None:
        """Wait for the first message of any queue."""

        async def pull(tap: Tap) -> None:
            try:
                await tap.wait(visit)
            finally:
                visit.woken.set()  # all end when one does

        timer = asyncio.get_running_loop().call_later(wait_s, visit.woken.set)
        try:
            outcomes = await asyncio.gather(*map(pull, taps), return_exceptions=True)
        finally:
            timer.cancel()
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    def _tap(self, queue: str, name: str) -> Tap:
        tap = self._taps.get(name)
        if tap is None:
            tap = self._taps[name] = Tap(self._link, self._topology, queue, name)
        return tap

    def _expired(self, received: Received) -> None:
        """Put back what nobody extended, charged as a crash."""
        self._keep(received.tap.refuse(received))

    def _give_back(self, received: Received, wait_ms: int) -> None:
        self._keep(self._give_back_soon(received, wait_ms))

    async def _give_back_soon(self, received: Received, wait_ms: int) -> None:
        """Put a message back uncharged: as a copy, since RabbitMQ counts what it takes back.

        Nobody waits for it, so it may take until RabbitMQ answers: what is refused because the copy
        was not confirmed in time is there twice if that was stored all the same.
        """
        parcel = Parcel(received.queue, received.copy, wait_ms)
        [outcome] = await self._publisher.send([parcel], bounded=False)
        if outcome is None:
            await received.tap.answer([received])
        else:
            await received.tap.refuse(received)

    def _keep(self, coroutine: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run something to its end, whoever waits for it."""
        task = asyncio.create_task(coroutine)
        self._going_on.add(task)
        task.add_done_callback(self._gone)
        return task

    def _gone(self, task: asyncio.Task[None]) -> None:
        self._going_on.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waits for it has seen it; what was given back comes back
