"""Who waits is woken, without the look from time to time that is there in case a hint is lost."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias

import pytest
from async_task.spi.driver import Consumer, ConsumerOptions
from async_task.spi.messages import Ack, Lease, Message, Retry, StoredResult
from async_task.testing.servers.redis import RedisServer, redis_cluster
from async_task_redis import results, wakeup
from async_task_redis.driver import RedisDriver

pytestmark = pytest.mark.anyio

Opened: TypeAlias = Callable[..., AbstractAsyncContextManager[RedisDriver]]
OPTIONS = ConsumerOptions(queues=("q", "other"), max_leases=10)
FOREVER_MS = 3_600_000


@pytest.fixture(autouse=True)
async def patience(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Nobody looks without a hint, and no test takes longer than a hint may."""
    monkeypatch.setattr(wakeup, "POLL_S", FOREVER_MS)
    monkeypatch.setattr(results, "POLL_S", FOREVER_MS)
    async with asyncio.timeout(20):
        yield


def message(queue: str = "q", **more: Any) -> Message:
    return Message(os.urandom(16), queue, b"body", **more)


async def take(consumer: Consumer, queues: tuple[str, ...] = ("q", "other")) -> list[Lease]:
    """Wait for a message."""
    return list(
        await consumer.lease(
            queues,
            1,
            wait_ms=FOREVER_MS,
            lease_id=os.urandom(16),
            visibility_ms=FOREVER_MS,
        )
    )


async def waiting(
    driver: RedisDriver, consumer: Consumer, queues: tuple[str, ...] = ("q", "other")
) -> asyncio.Task[list[Lease]]:
    """Begin to wait for messages; return once it really does."""
    task = asyncio.create_task(take(consumer, queues))
    for _ in range(20):  # its first look, and its first listening, are before these pings
        await driver.ping()
    assert not task.done()
    return task


async def test_a_new_message_wakes(server: RedisServer, opened: Opened) -> None:
    async with opened(server.url) as driver, driver.consumer(OPTIONS) as consumer:
        for queue in ("q", "other", "q"):
            task = await waiting(driver, consumer)
            await driver.enqueue([message(queue)])
            assert [each.queue for each in await task] == [queue]


async def test_calls_that_wait_for_different_queues_do_not_block_each_other(
    server: RedisServer, opened: Opened
) -> None:
    async with opened(server.url) as driver, driver.consumer(OPTIONS) as consumer:
        both = await waiting(driver, consumer)
        one = await waiting(driver, consumer, ("other",))
        await driver.enqueue([message("q")])
        assert [each.queue for each in await both] == ["q"]
        await driver.enqueue([message("other")])
        assert [each.queue for each in await one] == ["other"]


async def test_what_is_due_soon_wakes_in_time(server: RedisServer, opened: Opened) -> None:
    async with opened(server.url) as driver, driver.consumer(OPTIONS) as consumer:
        task = await waiting(driver, consumer)
        await driver.enqueue([message(delay_ms=100)])
        [lease] = await task
        task = await waiting(driver, consumer)
        await consumer.settle([Retry(lease, 100, b"")])
        assert [each.deliveries for each in await task] == [2]


async def test_several_are_woken_one_after_the_other(server: RedisServer, opened: Opened) -> None:
    async with (
        opened(server.url) as driver,
        opened(server.url) as other,
        driver.consumer(OPTIONS) as one,
        other.consumer(OPTIONS) as two,
    ):
        tasks = [await waiting(driver, one), await waiting(other, two)]
        await driver.enqueue([message(), message()])
        assert [len(await task) for task in tasks] == [1, 1]


async def test_a_hint_that_is_not_wanted_is_passed_on(server: RedisServer, opened: Opened) -> None:
    async with (
        opened(server.url) as driver,
        opened(server.url) as other,
        driver.consumer(OPTIONS) as one,
        other.consumer(OPTIONS) as two,
    ):
        left = await waiting(driver, one)
        task = await waiting(other, two)
        left.cancel()  # its process still listens, and is the first to be told
        await asyncio.gather(left, return_exceptions=True)
        await driver.enqueue([message()])
        assert len(await task) == 1


async def test_a_result_wakes(server: RedisServer, opened: Opened) -> None:
    async with opened(server.url) as driver:
        await result_wakes(driver)


async def test_hints_reach_every_node_of_a_cluster(opened: Opened) -> None:
    with redis_cluster() as nodes:
        async with opened(nodes[0].url, cluster=True) as driver:
            await result_wakes(driver)
            # More queues than nodes, so that some share one.
            queues = tuple(f"queue-{number}" for number in range(5))
            options = ConsumerOptions(queues=queues, max_leases=10)
            async with driver.consumer(options) as consumer:
                for queue in queues:
                    task = await waiting(driver, consumer, queues)
                    await driver.enqueue([message(queue)])
                    assert [each.queue for each in await task] == [queue]


async def result_wakes(driver: RedisDriver) -> None:
    facet = driver.results
    assert facet is not None
    async with driver.consumer(OPTIONS) as consumer:
        for _ in range(2):
            await driver.enqueue([message()])
            [lease] = await take(consumer)
            nobody = os.urandom(16)
            wait = asyncio.create_task(facet.wait([nobody, lease.id], wait_ms=FOREVER_MS))
            for _ in range(20):
                await driver.ping()
            await consumer.settle([Ack(lease, StoredResult(b"done", FOREVER_MS))])
            assert await wait == {lease.id: b"done"}
