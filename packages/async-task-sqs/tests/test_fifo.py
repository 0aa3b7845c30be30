"""FIFO queues: what is different there."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from async_task import Config, Dispatcher, QueueDriver, task
from async_task.core.ids import new_id
from async_task.spi.capabilities import Delay
from async_task.spi.driver import ConsumerOptions, DriverOptions
from async_task.spi.errors import UnsupportedError
from async_task.spi.messages import Ack, Lease, Message, Reject, Release, Retry
from async_task_sqs.consumer import SqsConsumer
from async_task_sqs.driver import SqsDriver
from async_task_sqs.settings import SqsSettings

pytestmark = pytest.mark.anyio
HOUR_MS = 3_600_000


@pytest.fixture(params=["moto", "fauxqs"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(request.param)
    return found


@asynccontextmanager
async def opened(url: str) -> AsyncGenerator[tuple[SqsDriver, SqsConsumer]]:
    settings = SqsSettings.make(**SqsSettings.from_url(url), fifo=True)
    driver = SqsDriver(settings, DriverOptions(namespace=uuid.uuid4().hex), poll_s=1)
    await driver.open()
    try:
        async with driver.consumer(ConsumerOptions(queues=("q",), max_leases=100)) as consumer:
            yield driver, consumer
    finally:
        await driver.close()


async def take(consumer: SqsConsumer, *, visibility_ms: int = HOUR_MS) -> Lease:
    [lease] = await consumer.lease(
        ("q",), 1, wait_ms=20_000, lease_id=os.urandom(16), visibility_ms=visibility_ms
    )
    return lease


async def test_a_delay_is_refused_before_anything_is_sent(url: str) -> None:
    async with opened(url) as (driver, _):
        assert driver.capabilities.delay is Delay.NONE
        messages = [Message(new_id(), "q", b""), Message(new_id(), "q", b"", delay_ms=1)]
        with pytest.raises(UnsupportedError, match="queue 'q' is to wait 1 ms"):
            await driver.enqueue(messages)
        [stats] = await driver.stats(["q"])
        assert stats.ready == 0


async def test_a_delay_is_refused_when_a_task_is_dispatched(url: str) -> None:
    @task
    async def later() -> None: ...

    config = Config(url=url, sqs_fifo=True, namespace=uuid.uuid4().hex)
    async with QueueDriver.from_config(config) as driver:
        with pytest.raises(UnsupportedError, match="'sqs' cannot delay tasks"):
            await Dispatcher(driver).dispatch(later().delay(1))


async def test_a_message_that_is_sent_twice_is_stored_once(url: str) -> None:
    async with opened(url) as (driver, _):
        message = Message(new_id(), "q", b"")
        await driver.enqueue([message, message])
        await driver.enqueue([message])
        [stats] = await driver.stats(["q"])
        assert stats.ready == 1


async def test_what_is_retried_later_waits_and_is_charged_nothing(url: str) -> None:
    async with opened(url) as (driver, consumer):
        await driver.enqueue([Message(new_id(), "q", b"body")])
        lease = await take(consumer)
        begun = time.monotonic()
        await consumer.settle([Retry(lease, 1500, b"state")])
        again = await take(consumer)
        assert time.monotonic() - begun >= 1.5
        assert (again.id, again.body, again.state) == (lease.id, b"body", b"state")
        assert (again.deliveries, again.crashes) == (2, 0)
        await consumer.settle([Ack(again)])
        [stats] = await driver.stats(["q"])
        assert (stats.ready, stats.leased) == (0, 0)


async def test_a_crash_after_a_wait_is_counted(url: str) -> None:
    async with opened(url) as (driver, consumer):
        await driver.enqueue([Message(new_id(), "q", b"")])
        await consumer.settle([Release(await take(consumer), 1, b"")])
        await take(consumer, visibility_ms=1000)
        again = await take(consumer)
        assert (again.deliveries, again.crashes) == (3, 1)


async def test_what_waits_keeps_up_nobody(url: str) -> None:
    async with opened(url) as (driver, consumer):
        waiting = Message(new_id(), "q", b"")
        await driver.enqueue([waiting])
        await consumer.settle([Retry(await take(consumer), HOUR_MS, b"")])
        ids = {new_id() for _ in range(15)}
        await driver.enqueue([Message(each, "q", b"") for each in ids])
        assert {(await take(consumer)).id for _ in ids} == ids


async def test_no_copy_is_taken_for_one_that_was_sent_before(url: str) -> None:
    """Released, dead, requeued, again and again within the minutes for which SQS remembers."""
    async with opened(url) as (driver, consumer):
        letters = driver.dead_letters
        assert letters is not None
        message = Message(new_id(), "q", b"")
        await driver.enqueue([message])
        for _ in range(3):
            for _ in range(3):
                await consumer.settle([Release(await take(consumer), 0, b"")])
            await consumer.settle([Reject(await take(consumer), "failed", b"")])
            assert await letters.requeue("q", {message.id: b""}) == 1
        await consumer.settle([Ack(await take(consumer))])
        [stats] = await driver.stats(["q"])
        assert (stats.ready, stats.leased, stats.dead) == (0, 0, 0)
