"""Waiting for what is committed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from async_task.spi.driver import Consumer, ConsumerOptions
from async_task.spi.errors import DriverError
from async_task.spi.messages import Lease, Message
from async_task_sqlite import wakeup
from async_task_sqlite.driver import SqliteDriver

pytestmark = pytest.mark.anyio
FOREVER_MS = 3_600_000


async def wait(consumer: Consumer) -> list[Lease]:
    return list(
        await consumer.lease(
            ["q"], 1, wait_ms=FOREVER_MS, lease_id=os.urandom(16), visibility_ms=30_000
        )
    )


def message(delay_ms: int = 0) -> Message:
    return Message(os.urandom(16), "q", b"", delay_ms=delay_ms)


async def test_one_waiter_is_woken_by_its_own_driver(
    driver: SqliteDriver, consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeup, "_POLL_S", 3600.0)
    waiting = asyncio.create_task(wait(consumer))
    await asyncio.sleep(0)
    await driver.enqueue([message()])
    assert len(await waiting) == 1


async def test_a_waiter_wakes_when_the_next_is_due(
    driver: SqliteDriver, consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeup, "_POLL_S", 3600.0)
    await driver.enqueue([message(delay_ms=50)])
    assert len(await wait(consumer)) == 1


async def test_without_named_pipes_a_waiter_looks_often(
    make: Callable[..., SqliteDriver], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "mkfifo")
    driver, other = make(), make()
    await driver.open()
    await other.open()
    async with driver.consumer(ConsumerOptions(queues=("q",), max_leases=1)) as consumer:
        waiting = asyncio.create_task(wait(consumer))
        await driver.ping()
        await other.enqueue([message()])
        assert len(await waiting) == 1
    assert not path.with_name("queue.db-wake").exists()
    await other.close()
    await driver.close()


async def test_interrupting_ends_every_wait_once(driver: SqliteDriver, consumer: Consumer) -> None:
    waiting = [asyncio.create_task(wait(consumer)) for _ in range(3)]
    await driver.ping()
    consumer.interrupt()
    assert await asyncio.gather(*waiting) == [[], [], []]
    later = asyncio.create_task(wait(consumer))
    await driver.enqueue([message()])
    assert len(await later) == 1


async def test_closing_ends_every_wait(driver: SqliteDriver, consumer: Consumer) -> None:
    waiting = [asyncio.create_task(wait(consumer)) for _ in range(2)]
    await driver.ping()
    await driver.close()
    for task in waiting:
        with pytest.raises(DriverError, match="not open"):
            await task
    await driver.open()  # and the pipe's number can be used again
    again = asyncio.create_task(wait(consumer))
    await driver.ping()
    await driver.enqueue([message()])
    assert len(await again) == 1
