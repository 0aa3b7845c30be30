"""What `async-task bench` does to a backend, and what it takes."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from async_task.core.dispatcher import Dispatcher
from async_task.core.ids import new_id
from async_task.core.registry import Registry
from async_task.core.task import task
from async_task.core.worker import Worker
from async_task.spi.driver import ConsumerOptions
from async_task.spi.messages import Ack, Message

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from async_task.core.queue_driver import QueueDriver

BENCH_QUEUE: Final = "async-task-bench"
TOGETHER: Final = 100
"""Messages of one call, callers at once, and tasks at once of the worker."""
WAIT_MS: Final = 3_000
"""When a backend has had nothing to give for so long, what is missing is lost: longer than a
stand-in for SQS takes on a busy machine."""
LONE: Final = 20
"""One in so many tasks is sent alone: these steps cost a round trip or a commit per task."""


@dataclass(slots=True)
class Step:
    """One thing that was measured.

    Attributes:
        name: What was done.
        tasks: How often.
        wall_s: What it took.
        cpu_s: CPU seconds of this process meanwhile.
        lost: Tasks that were stored and never handed out.
        repeated: Tasks that were handed out again though they were settled in time.
    """

    name: str
    tasks: int
    wall_s: float = 0.0
    cpu_s: float = 0.0
    lost: int = 0
    repeated: int = 0

    @property
    def rate(self) -> float:
        """Tasks per second."""
        return self.tasks / self.wall_s

    @property
    def cpu_us(self) -> float:
        """Microseconds of CPU per task."""
        return self.cpu_s / self.tasks * 1e6

    def __enter__(self) -> None:
        self.cpu_s, self.wall_s = -time.process_time(), -time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.cpu_s += time.process_time()
        self.wall_s += time.perf_counter()


_ran: Counter[int] = Counter()


@task(name="async_task.bench:count", queue=BENCH_QUEUE)
async def count(number: int) -> None:
    """Count that it ran."""
    _ran[number] += 1


async def measured(driver: QueueDriver, tasks: int, wait_ms: int = WAIT_MS) -> list[Step]:
    """Measure a backend, each step with so many tasks; leave it disconnected, its queue empty."""
    async with _empty_queue(driver):
        return [
            *await _through_the_driver(driver, tasks, wait_ms),
            *await _through_a_worker(driver, tasks, wait_ms),
        ]


@asynccontextmanager
async def _empty_queue(driver: QueueDriver) -> AsyncGenerator[None]:
    async with driver:
        await driver.driver.provision([BENCH_QUEUE])
        await driver.purge(BENCH_QUEUE)
        try:
            yield
        finally:
            await driver.purge(BENCH_QUEUE)


async def _through_the_driver(driver: QueueDriver, tasks: int, wait_ms: int) -> list[Step]:
    """Store and take messages as core does, without core."""
    spi, lone = driver.driver, tasks // LONE
    most = min(TOGETHER, spi.capabilities.max_batch or TOGETHER)
    alone, batches = Step("enqueue, one a call", lone), Step(f"enqueue, {most} a call", tasks)
    taking = Step(f"lease and settle, up to {most} a call", lone + tasks)
    messages = [Message(new_id(), BENCH_QUEUE, b"x" * 40) for _ in range(lone + tasks)]
    with alone:
        for message in messages[:lone]:
            await spi.enqueue([message])
    with batches:
        for start in range(lone, lone + tasks, most):
            await spi.enqueue(messages[start : start + most])
    taken: Counter[bytes] = Counter()
    async with spi.consumer(ConsumerOptions(queues=(BENCH_QUEUE,), max_leases=most)) as consumer:
        with taking:
            while len(taken) < taking.tasks:
                leases = await consumer.lease(
                    [BENCH_QUEUE],
                    most,
                    wait_ms=wait_ms,
                    lease_id=os.urandom(16),
                    visibility_ms=driver.visibility_ms,
                )
                if not leases:
                    break
                taken.update(lease.id for lease in leases)
                await consumer.settle([Ack(lease) for lease in leases])
    taking.lost = taking.tasks - len(taken)
    taking.repeated = taken.total() - len(taken)
    return [alone, batches, taking]


async def _through_a_worker(driver: QueueDriver, tasks: int, wait_ms: int) -> list[Step]:
    """Send and run tasks as an application and a worker do."""
    lone = tasks // LONE
    alone = Step("dispatch, one after the other", lone)
    together = Step(f"dispatch, {TOGETHER} callers at once", tasks)
    drain = Step(f"worker, {TOGETHER} tasks at a time", lone + tasks)
    dispatcher = Dispatcher(driver)
    with alone:
        for number in range(lone):
            await dispatcher.dispatch(count(number))
    with together:
        for start in range(lone, lone + tasks, TOGETHER):
            numbers = range(start, min(start + TOGETHER, lone + tasks))
            await asyncio.gather(*(dispatcher.dispatch(count(number)) for number in numbers))
    known = Registry()
    known.add(count.definition)
    _ran.clear()
    worker = Worker(driver, [BENCH_QUEUE], TOGETHER, drain.tasks, tasks=known)
    with drain:
        await _until_done(worker, wait_ms)
    await driver.connect()  # the worker disconnects it
    drain.lost = drain.tasks - len(_ran)
    drain.repeated = _ran.total() - len(_ran)
    return [alone, together, drain]


async def _until_done(worker: Worker, wait_ms: int) -> None:
    """Let a worker run until it has done all, or none for so long."""
    working = asyncio.create_task(worker.start())
    before = -1
    while not working.done():
        await asyncio.wait([working], timeout=wait_ms / 1000)
        if _ran.total() == before:
            worker.stop()
            break
        before = _ran.total()
    await working
