"""The thread between an event loop and SQLite."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Callable, Iterator

import pytest
from async_task.spi.driver import ConsumerOptions
from async_task.spi.messages import Ack, Message
from async_task_sqlite.driver import SqliteDriver

pytestmark = pytest.mark.anyio


def pin(thread: threading.Thread, core: int) -> None:
    """Keep a thread on one core: two that are never on the same one contend the most."""
    cores = sorted(os.sched_getaffinity(0))
    assert thread.native_id is not None
    os.sched_setaffinity(thread.native_id, {cores[core % len(cores)]})


@pytest.fixture
def pinned() -> Iterator[None]:
    before = os.sched_getaffinity(0)
    yield
    os.sched_setaffinity(0, before)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="threads cannot be pinned here")
@pytest.mark.usefixtures("pinned")
async def test_a_loop_that_is_never_idle_does_not_starve_it(
    make: Callable[..., SqliteDriver],
) -> None:
    before = set(threading.enumerate())
    driver = make(op_timeout_ms=1000)
    await driver.open()
    [thread] = set(threading.enumerate()) - before
    pin(thread, 1)
    pin(threading.main_thread(), 0)
    busy = True

    async def step() -> None:
        sum(range(30))

    async def keep_busy() -> None:
        while busy:
            await asyncio.gather(*(step() for _ in range(100)))

    other = asyncio.create_task(keep_busy())
    async with driver.consumer(ConsumerOptions(queues=("q",), max_leases=1000)) as consumer:
        for _ in range(3):
            await driver.enqueue([Message(os.urandom(16), "q", b"") for _ in range(1000)])
            leases = await consumer.lease(
                ["q"], 1000, wait_ms=0, lease_id=os.urandom(16), visibility_ms=30_000
            )
            assert len(leases) == 1000
            assert list(await consumer.settle([Ack(lease) for lease in leases])) == []
    busy = False
    await other
    await driver.close()


async def test_it_ends_with_a_driver_that_nobody_closes(make: Callable[..., SqliteDriver]) -> None:
    before = set(threading.enumerate())
    driver = make()
    await driver.open()
    [thread] = set(threading.enumerate()) - before
    del driver
    await asyncio.sleep(0.01)  # the loop's own timer lets go of it
    gc.collect()
    await asyncio.to_thread(thread.join, 10)
    assert not thread.is_alive()
