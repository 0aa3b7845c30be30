"""A bench: a memory store on a clock moved by hand, what sends to it, and workers on it."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any

import pytest
from async_task.config import Config
from async_task.core.dead_letters import DeadTask
from async_task.core.dispatcher import Dispatcher
from async_task.core.handle import TaskHandle
from async_task.core.pending import Fluent
from async_task.core.queue_driver import QueueDriver
from async_task.drivers.memory import MemoryDriver, MemorySettings, unix_ms
from async_task.runtime.worker import Worker
from async_task.spi.driver import Consumer, ConsumerOptions, DriverOptions, LeaseKeeper
from async_task.spi.messages import Extension, Lease, Message, Settlement


class Faults:
    """What goes wrong on which call, by name: before it is carried out, or after."""

    def __init__(self) -> None:
        self.before: defaultdict[str, deque[Exception]] = defaultdict(deque)
        self.after: defaultdict[str, deque[Exception]] = defaultdict(deque)
        self.always: dict[str, Exception] = {}
        self.calls: defaultdict[str, int] = defaultdict(int)
        self.settled: list[Settlement] = []
        self.limits: list[int] = []
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()

    async def called(self, call: str, times: int) -> None:
        """Wait until something was called so many times more."""
        times += self.calls[call]
        while self.calls[call] < times:
            self._news.clear()
            await self._news.wait()

    def enter(self, call: str) -> None:
        self.calls[call] += 1
        self._loop.call_soon_threadsafe(self._news.set)  # a keeper calls from another thread
        if call in self.always:
            raise self.always[call]
        if self.before[call]:
            raise self.before[call].popleft()

    def leave(self, call: str) -> None:
        if self.after[call]:
            raise self.after[call].popleft()


class FaultyDriver(MemoryDriver):
    """The memory driver, failing as told."""

    def __init__(self, faults: Faults, namespace: str, now_ms: Any) -> None:
        super().__init__(MemorySettings(), DriverOptions(namespace=namespace), now_ms=now_ms)
        self.faults = faults

    async def open(self) -> None:
        self.faults.enter("open")
        await super().open()

    async def enqueue(self, messages: Sequence[Message]) -> Sequence[int]:
        self.faults.enter("enqueue")
        return await super().enqueue(messages)

    @contextlib.asynccontextmanager
    async def consumer(self, options: ConsumerOptions) -> AsyncGenerator[Consumer]:
        self.faults.enter("consumer")
        async with super().consumer(options) as consumer:
            yield FaultyConsumer(consumer, self.faults)

    @contextlib.asynccontextmanager
    async def keeper(self) -> AsyncGenerator[LeaseKeeper]:
        async with super().keeper() as keeper:
            yield FaultyKeeper(keeper, self.faults)


class FaultyConsumer:
    def __init__(self, consumer: Consumer, faults: Faults) -> None:
        self._consumer = consumer
        self._faults = faults

    async def lease(self, queues: Sequence[str], limit: int, **options: Any) -> Sequence[Lease]:
        self._faults.limits.append(limit)
        self._faults.enter("lease")
        leases = await self._consumer.lease(queues, limit, **options)
        self._faults.leave("lease")
        return leases

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[int]:
        self._faults.enter("settle")
        stale = await self._consumer.settle(settlements)
        self._faults.settled += settlements
        self._faults.leave("settle")
        return stale

    async def recover(self, lease_id: bytes) -> Sequence[Lease]:
        self._faults.enter("recover")
        return await self._consumer.recover(lease_id)

    def interrupt(self) -> None:
        self._consumer.interrupt()


class FaultyKeeper:
    def __init__(self, keeper: LeaseKeeper, faults: Faults) -> None:
        self._keeper = keeper
        self._faults = faults

    async def extend(self, leases: Sequence[Lease], visibility_ms: int) -> Sequence[Extension]:
        self._faults.enter("extend")
        return await self._keeper.extend(leases, visibility_ms)


class Bench:
    """One store and everything on it."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.now_ms = unix_ms()
        self.namespace = uuid.uuid4().hex
        self.queue_driver = self.driver()
        self.dispatcher = Dispatcher(self.queue_driver)
        self._working: dict[Worker, asyncio.Task[None]] = {}

    def driver(self, **settings: Any) -> QueueDriver:
        """Return another driver on the same store."""
        driver = FaultyDriver(self.faults, self.namespace, lambda: self.now_ms)
        return QueueDriver(
            driver, name="memory", config=Config(driver="memory", op_timeout=1, **settings)
        )

    async def send(self, *calls: Fluent[Any]) -> list[TaskHandle[Any]]:
        """Dispatch, in order."""
        return [await self.dispatcher.dispatch(call) for call in calls]

    async def put(self, body: bytes, queue: str = "default") -> bytes:
        """Store a message as it is; return its id."""
        message = Message(uuid.uuid4().bytes, queue, body)
        await self.queue_driver.connect()
        await self.queue_driver.driver.enqueue([message])
        return message.id

    async def advance(self, ms: int) -> None:
        """Move the store's clock."""
        self.now_ms += ms
        await self.queue_driver.connect()
        assert isinstance(self.queue_driver.driver, MemoryDriver)
        self.queue_driver.driver.store.wake()

    async def work(self, *queues: str, **options: Any) -> Worker:
        """Work off what is ready; what is delayed stays."""
        worker = Worker(self.driver(), queues, stop_when_empty=True, **options)
        await worker.start()
        return worker

    def start(self, *queues: str, settings: dict[str, Any] | None = None, **options: Any) -> Worker:
        """Start a worker that the end of the test stops."""
        worker = Worker(self.driver(**(settings or {})), queues, **options)
        self._working[worker] = asyncio.create_task(worker.start())
        return worker

    async def ended(self, worker: Worker) -> None:
        """Wait for the end of a worker that was started."""
        await self._working.pop(worker)

    async def counts(self, queue: str = "default") -> tuple[int, int, int, int]:
        """Return how many are ready, delayed, leased and dead."""
        (stats,) = await self.queue_driver.stats([queue])
        return stats.ready or 0, stats.delayed or 0, stats.leased or 0, stats.dead or 0

    async def dead(self, queue: str = "default") -> list[DeadTask]:
        """Return the dead letters."""
        return await self.queue_driver.dead_letters.browse(queue)

    async def take(self) -> list[Lease]:
        """Lease all that is ready, as another worker would; never settle it."""
        driver = MemoryDriver(MemorySettings(), DriverOptions(namespace=self.namespace))
        await driver.open()
        options = ConsumerOptions(queues=("default",), max_leases=100)
        async with driver.consumer(options) as consumer:
            return list(
                await consumer.lease(
                    ("default",),
                    100,
                    wait_ms=0,
                    lease_id=uuid.uuid4().bytes,
                    visibility_ms=30_000,
                )
            )

    async def aclose(self) -> None:
        self.faults.always.clear()
        for worker in self._working:
            worker.stop_now()
        await asyncio.gather(*self._working.values())
        await self.dispatcher.close()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    yield bench
    await bench.aclose()
