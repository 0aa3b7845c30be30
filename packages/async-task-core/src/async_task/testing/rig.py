"""The verbs that conformance tests are written in."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from async_task.core.ids import new_id
from async_task.spi.driver import ConsumerOptions
from async_task.spi.messages import Message

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence

    from async_task.spi.driver import Consumer, Driver, LeaseKeeper
    from async_task.spi.facets import Control, DeadLetters, Results
    from async_task.spi.messages import Extension, Lease, QueueStats, Settlement
    from async_task.testing.harness import DriverHarness

T = TypeVar("T")

HIGH, LOW = "high", "low"
QUEUES = (HIGH, LOW)
"""The queues every rig provisions; a test that does not care uses `HIGH`."""

FOREVER_MS = 3_600_000
"""What does not lapse during a test: an hour."""

SPARE_MS = 1000
"""What a call may take above its bound before a test fails: delivery.md's G8."""


class Rig:
    """An opened driver on a fresh namespace, and one consumer of it.

    Every verb bounds its calls by the driver's time-out plus the wait asked for.

    Attributes:
        harness: Where it came from.
        driver: The driver.
        consumer: A consumer of all `QUEUES`.
        options: What it was opened with.
    """

    def __init__(
        self, harness: DriverHarness, driver: Driver, consumer: Consumer, stack: AsyncExitStack
    ) -> None:
        self.harness = harness
        self.driver = driver
        self.consumer = consumer
        self._stack = stack
        self.options = ConsumerOptions(queues=QUEUES, max_leases=100)
        self._keeper: LeaseKeeper | None = None
        self._advanced_ms = 0

    @classmethod
    @asynccontextmanager
    async def of(cls, harness: DriverHarness, driver: Driver) -> AsyncGenerator[Rig]:
        """Open a driver, provision the queues and open a consumer; close all of it at the end."""
        async with AsyncExitStack() as stack:
            await driver.open()
            stack.push_async_callback(_close, harness, driver)
            await driver.provision(QUEUES)
            options = ConsumerOptions(queues=QUEUES, max_leases=100)
            consumer = await stack.enter_async_context(driver.consumer(options))
            yield cls(harness, driver, consumer, stack)

    async def other(self) -> Rig:
        """Return a second rig on the same store, as another process would have."""
        driver = await self.harness.again(self.driver)
        return await self._stack.enter_async_context(Rig.of(self.harness, driver))

    async def another_consumer(self) -> Consumer:
        """Open a second consumer of this driver."""
        return await self._stack.enter_async_context(self.driver.consumer(self.options))

    # What is there, for tests that were selected because it is declared.

    @property
    def dead_letters(self) -> DeadLetters:
        """The facet of that name."""
        assert self.driver.dead_letters is not None, "declared, but driver.dead_letters is None"
        return self.driver.dead_letters

    @property
    def results(self) -> Results:
        """The facet of that name."""
        assert self.driver.results is not None, "declared, but driver.results is None"
        return self.driver.results

    @property
    def control(self) -> Control:
        """The facet of that name."""
        assert self.driver.control is not None, "declared, but driver.control is None"
        return self.driver.control

    # Time

    @property
    def tick_ms(self) -> int:
        """The short duration: see `DriverHarness`."""
        return self.harness.tick_ms

    async def advance(self, ticks: float = 1) -> None:
        """Let a number of ticks pass on the store's clock."""
        await self.advance_ms(round(ticks * self.tick_ms))

    async def advance_ms(self, ms: int) -> None:
        """Let milliseconds pass on the store's clock."""
        await self.harness.advance(ms)
        self._advanced_ms += ms

    def stopwatch(self) -> Callable[[], float]:
        """Start to measure; the value tells the milliseconds that passed on the store's clock.

        On a real clock it is an upper bound: it adds the unit that the store counts in.
        """
        if self.harness.manual_clock:
            begun_ms = self._advanced_ms
            return lambda: self._advanced_ms - begun_ms
        begun = time.monotonic()
        unit_ms = max(1, self.driver.capabilities.delay)
        return lambda: (time.monotonic() - begun) * 1000 + unit_ms

    async def turns(self, count: int = 10) -> None:
        """Let everything else in this event loop proceed by some steps."""
        for _ in range(count):
            await asyncio.sleep(0)

    def skip_unless_leases_end_by_time(self) -> None:
        """Skip the test where a lease ends with its connection, or with that too."""
        if self.driver.keeper() is None or self.harness.tied:
            pytest.skip("this driver's leases are held by its connection")

    def skip_unless_hours_are_free(self) -> None:
        """Skip the test where time really has to be waited for."""
        if not self.harness.manual_clock:
            pytest.skip("the harness has no manual clock")

    async def bounded(self, call: Coroutine[Any, Any, T], *, wait_ms: int = 0) -> T:
        """Await a call of the driver; fail if it takes longer than it may."""
        bound = self.harness.op_timeout_ms + wait_ms + SPARE_MS
        async with asyncio.timeout(bound / 1000):
            return await call

    # Messages

    async def put(
        self,
        *,
        queue: str = HIGH,
        body: bytes = b"body",
        priority: int = 0,
        delay_ms: int = 0,
        expires_in_ms: int | None = None,
    ) -> Message:
        """Store one new message."""
        message = Message(new_id(), queue, body, priority, delay_ms, expires_in_ms)
        await self.enqueue(message)
        return message

    async def put_many(self, count: int, *, queue: str = HIGH) -> list[Message]:
        """Store new messages in one call."""
        messages = [Message(new_id(), queue, b"body") for _ in range(count)]
        await self.enqueue(*messages)
        return messages

    async def enqueue(self, *messages: Message) -> None:
        """Store messages that are not there yet."""
        duplicates = await self.bounded(self.driver.enqueue(messages))
        assert list(duplicates) == [], "new messages were called duplicates"

    async def look(
        self,
        limit: int = 1,
        *,
        queues: Sequence[str] = (HIGH,),
        wait_ms: int | None = None,
        lease_id: bytes | None = None,
        visibility_ms: int = FOREVER_MS,
        consumer: Consumer | None = None,
    ) -> list[Lease]:
        """Make one lease call, waiting no longer than a glance unless told otherwise."""
        wait_ms = self.harness.glance_ms if wait_ms is None else wait_ms
        call = (consumer or self.consumer).lease(
            queues,
            limit,
            wait_ms=wait_ms,
            lease_id=lease_id or os.urandom(16),
            visibility_ms=visibility_ms,
        )
        leases = list(await self.bounded(call, wait_ms=wait_ms))
        assert len(leases) <= limit, f"asked for {limit} messages and got {len(leases)}"
        return leases

    async def take(
        self,
        *,
        queue: str = HIGH,
        lease_id: bytes | None = None,
        visibility_ms: int = FOREVER_MS,
    ) -> Lease:
        """Lease one message, which must come."""
        leases = await self.look(
            queues=(queue,),
            wait_ms=self.harness.patience_ms,
            lease_id=lease_id,
            visibility_ms=visibility_ms,
        )
        assert leases, f"nothing was handed out of {queue!r}"
        return leases[0]

    async def take_when_it_comes(self) -> Lease:
        """Lease one message that is not due yet, letting time pass until it comes."""
        longest_ms = 20 * self.tick_ms
        if self.harness.manual_clock:
            for _ in range(longest_ms):
                if leases := await self.look():
                    return leases[0]
                await self.advance_ms(1)
        elif leases := await self.look(wait_ms=longest_ms):
            return leases[0]
        pytest.fail("nothing was handed out, however long one waited")

    @asynccontextmanager
    async def waiting(self, *, queues: Sequence[str] = (HIGH,)) -> AsyncGenerator[list[Lease]]:
        """Have a lease wait for one message meanwhile; the list is its answer, once left."""
        answer: list[Lease] = []
        async with self.running(self.look(queues=queues, wait_ms=FOREVER_MS)) as task:
            yield answer
        answer += task.result()

    @asynccontextmanager
    async def running(self, call: Coroutine[Any, Any, T]) -> AsyncGenerator[asyncio.Task[T]]:
        """Have a call wait meanwhile; leaving waits until it has returned."""
        task = asyncio.create_task(call)
        try:
            await self.turns()
            assert not task.done(), f"did not wait: {task}"
            yield task
            async with asyncio.timeout(self.harness.patience_ms / 1000):
                await asyncio.wait([task])
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def drain(self) -> list[Lease]:
        """Lease all that is ready."""
        leases: list[Lease] = []
        while more := await self.look(100):
            leases += more
        return leases

    async def take_many(
        self,
        count: int,
        *,
        queues: Sequence[str] = (HIGH,),
        visibility_ms: int = FOREVER_MS,
    ) -> list[Lease]:
        """Lease a number of messages, all of which must come, in as many calls as it needs."""
        leases: list[Lease] = []
        while len(leases) < count:
            more = await self.look(
                count - len(leases),
                queues=queues,
                wait_ms=self.harness.patience_ms,
                visibility_ms=visibility_ms,
            )
            assert more, f"{len(leases)} of {count} messages were handed out, then none"
            leases += more
        return leases

    async def assert_nothing(self, *, queues: Sequence[str] = QUEUES) -> None:
        """Fail if anything is handed out."""
        leases = await self.look(queues=queues)
        assert not leases, f"{leases[0].id.hex()} was handed out"

    async def settle(self, *settlements: Settlement) -> None:
        """End current leases."""
        stale = await self.bounded(self.consumer.settle(settlements))
        assert list(stale) == [], f"current leases were called stale, at {list(stale)}"

    async def stale(self, *settlements: Settlement) -> list[int]:
        """Settle, and return the positions that were stale."""
        return list(await self.bounded(self.consumer.settle(settlements)))

    async def take_and_crash(self, *, queue: str = HIGH) -> Lease:
        """Lease one message and let that lease expire; it is not reclaimed by this yet."""
        lease = await self.take(queue=queue, visibility_ms=self.tick_ms)
        await self.lapse()
        return lease

    async def lapse(self) -> None:
        """Let leases and delays of one tick end; a connection that is the lease is dropped."""
        await self.lapse_after(1)

    async def lapse_after(self, ticks: int) -> None:
        """Let leases of that many ticks end, with time to spare."""
        if self.driver.keeper() is None:
            await self.crash_connection()
        await self.advance(ticks + 1)

    async def crash_connection(self) -> None:
        """Drop the consumer's connection and open another consumer in its place."""
        if self.harness.kill is None:
            pytest.skip("the harness cannot kill a connection")
        await self.harness.kill(self.consumer)
        self.consumer = await self.another_consumer()

    async def extend(self, *leases: Lease, visibility_ms: int = FOREVER_MS) -> list[Extension]:
        """Extend leases through a keeper, or skip the test where leases need none."""
        if self._keeper is None:
            opening = self.driver.keeper()
            if opening is None:
                pytest.skip("this driver's leases are held by its connection")
            self._keeper = await self._stack.enter_async_context(opening)
        return list(await self.bounded(self._keeper.extend(leases, visibility_ms)))

    async def stats(self, queue: str = HIGH) -> QueueStats:
        """Count a queue."""
        return (await self.bounded(self.driver.stats([queue])))[0]


async def _close(harness: DriverHarness, driver: Driver) -> None:
    async with asyncio.timeout((harness.op_timeout_ms + SPARE_MS) / 1000):
        await driver.close()
