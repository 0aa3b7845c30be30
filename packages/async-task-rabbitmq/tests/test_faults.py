"""What RabbitMQ and the network do to a driver, and what becomes of messages and leases."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import TypeAlias

import pytest
from aio_pika import connect
from async_task import Worker, current_context, task
from async_task.config import Config
from async_task.core.dispatcher import Dispatcher
from async_task.core.ids import new_id
from async_task.core.queue_driver import QueueDriver
from async_task.core.registry import Registry
from async_task.spi.errors import (
    ConnectionLostError,
    DriverError,
    DriverTimeoutError,
    EnqueueError,
    OutcomeUnknownError,
)
from async_task.spi.messages import (
    Ack,
    Extension,
    Lease,
    Message,
    Reject,
    Release,
    Retry,
    Settlement,
)
from async_task.testing.proxy import Proxy
from async_task.testing.servers.rabbitmq import RabbitmqServer
from async_task_rabbitmq.consumer import RabbitmqConsumer
from async_task_rabbitmq.driver import RabbitmqDriver

pytestmark = pytest.mark.anyio

Opened: TypeAlias = Callable[
    ..., AbstractAsyncContextManager[tuple[RabbitmqDriver, RabbitmqConsumer]]
]
HOUR_MS = 3_600_000
UNIT_MS = 10
"""What the lowest rung holds in tests; see the fixture `opened`."""


def messages(count: int, queue: str = "q") -> list[Message]:
    return [Message(new_id(), queue, b"body") for _ in range(count)]


async def look(
    consumer: RabbitmqConsumer,
    limit: int = 100,
    *,
    queues: Sequence[str] = ("q",),
    wait_ms: int = 0,
) -> list[Lease]:
    """Make one lease call."""
    leases = await consumer.lease(
        queues, limit, wait_ms=wait_ms, lease_id=os.urandom(16), visibility_ms=HOUR_MS
    )
    return list(leases)


async def take(consumer: RabbitmqConsumer, count: int = 1) -> list[Lease]:
    """Lease so many messages, which must come."""
    leases: list[Lease] = []
    while len(leases) < count:
        more = await look(consumer, count - len(leases), wait_ms=10_000)
        assert more, f"{len(leases)} of {count} came"
        leases += more
    return leases


async def ready(driver: RabbitmqDriver) -> int:
    [stats] = await driver.stats(["q"])
    return stats.ready or 0


async def test_a_killed_server_loses_nothing_it_confirmed(
    server: RabbitmqServer, opened: Opened
) -> None:
    """Under load; and the driver finds it again by itself."""
    confirmed: set[bytes] = set()
    uncertain: set[bytes] = set()
    refused = 0

    async def publish(driver: RabbitmqDriver) -> None:
        nonlocal refused
        for message in messages(1000):
            try:
                await driver.enqueue([message])
                confirmed.add(message.id)
            except OutcomeUnknownError:
                uncertain.add(message.id)
            except DriverError as error:
                assert error.retryable
                refused += 1
                await asyncio.sleep(0.02)  # as a caller would that tries again

    async with opened(server.url, op_timeout_ms=2000) as (driver, consumer):
        publishing = [asyncio.create_task(publish(driver)) for _ in range(4)]
        held = await take(consumer, 10)
        await asyncio.to_thread(server.kill9)
        await asyncio.to_thread(server.start)
        await asyncio.gather(*publishing)
        assert list(await consumer.settle([*map(Ack, held)])) == [*range(10)]
        found: set[bytes] = set()
        async with asyncio.timeout(30):
            while not found >= confirmed:
                leases = await look(consumer, wait_ms=1000)
                found |= {lease.id for lease in leases}
                await consumer.settle([*map(Ack, leases)])
    assert refused
    assert found <= confirmed | uncertain


async def delete_queue(url: str, driver: RabbitmqDriver) -> None:
    connection = await connect(url)
    async with connection, connection.channel() as channel:
        await channel.queue_delete(driver._names.level("q", 0))


async def test_nothing_is_published_into_the_void(url: str, opened: Opened) -> None:
    """A thousand publishes to a queue that is gone: each is refused, or in the new one."""
    async with opened(url) as (driver, _):
        await driver.enqueue(messages(1))
        await delete_queue(url, driver)
        calls = [driver.enqueue([each]) for each in messages(1000)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(each) for each in outcomes} <= {tuple, DriverError}
        assert await ready(driver) == sum(isinstance(each, tuple) for each in outcomes)


async def test_a_queue_deleted_under_a_thousand_publishes(url: str, opened: Opened) -> None:
    """What was confirmed before is gone with it; nobody is told anything else of the others.

    RabbitMQ 3.10 may fail over it and close the channel, which leaves outcomes unknown.
    """
    async with opened(url) as (driver, _):
        await driver.provision(["q"])
        calls = [asyncio.create_task(driver.enqueue([each])) for each in messages(1000)]
        await delete_queue(url, driver)
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        kinds = {type(each) for each in outcomes}
        assert kinds <= {tuple, DriverError, OutcomeUnknownError, ConnectionLostError}
        await driver.provision(["q"])
        unknown = sum(isinstance(each, OutcomeUnknownError) for each in outcomes)
        done = sum(isinstance(each, tuple) for each in outcomes)
        assert await ready(driver) <= done + unknown


async def test_a_message_for_a_deleted_queue_is_refused_and_the_next_is_stored(
    url: str, opened: Opened
) -> None:
    async with opened(url) as (driver, consumer):
        await driver.enqueue(messages(1))
        await delete_queue(url, driver)
        with pytest.raises(DriverError, match="the queue is gone") as caught:
            await driver.enqueue(messages(1))
        assert caught.value.retryable
        await driver.enqueue(messages(1))
        assert len(await take(consumer)) == 1


async def test_a_deleted_queue_is_made_again_for_who_waits(url: str, opened: Opened) -> None:
    async with opened(url) as (driver, consumer):
        waiting = asyncio.create_task(look(consumer, wait_ms=HOUR_MS))
        await asyncio.sleep(0.2)
        await delete_queue(url, driver)
        with pytest.raises(DriverError) as caught:
            await waiting
        assert caught.value.retryable
        taking = asyncio.create_task(take(consumer))
        await driver.provision(["q"])
        await driver.enqueue(messages(1))
        assert len(await taking) == 1


async def test_no_number_of_returns_eats_a_message(url: str, opened: Opened) -> None:
    """RabbitMQ 4 drops one after 20, unless its queue was declared with another limit."""
    async with opened(url) as (driver, _):
        await driver.enqueue(messages(1))
        connection = await connect(url)
        async with connection, connection.channel() as channel:
            queue = await channel.get_queue(driver._names.level("q", 0), ensure=False)
            async with queue.iterator(timeout=10) as coming:
                for _ in range(25):
                    await (await anext(coming)).nack(requeue=True)
        async with asyncio.timeout(10):
            while await ready(driver) != 1:  # noqa: ASYNC110 - RabbitMQ's, not ours
                await asyncio.sleep(0.05)


@pytest.fixture
def impatient(server: RabbitmqServer) -> Iterator[str]:
    """A server that takes back what stays unanswered for two seconds.

    That is more than a busy machine needs to answer for what is not to be taken back.
    """
    server.control("eval", "application:set_env(rabbit, consumer_timeout, 2000).")
    server.control("eval", "application:set_env(rabbit, channel_tick_interval, 100).")  # its look
    yield server.url
    server.control("eval", "application:set_env(rabbit, consumer_timeout, 1800000).")
    server.control("eval", "application:set_env(rabbit, channel_tick_interval, 60000).")


async def test_what_takes_longer_than_the_consumer_timeout_is_somebody_elses(
    impatient: str, opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    """All that is held out of that queue; the first to hold it changes nothing any more."""
    async with opened(impatient) as (driver, consumer), opened(impatient) as (_, other):
        await driver.enqueue(messages(3) + messages(1, "low"))
        held = await take(consumer, 3)
        [low] = await look(consumer, queues=("low",))
        assert list(await consumer.settle([Ack(low)])) == []
        others: list[Lease] = []
        while len(others) < 3:
            leases = await take(other)
            assert list(await other.settle([*map(Ack, leases)])) == []
            others += leases
        assert {lease.id for lease in others} == {lease.id for lease in held}
        assert {(lease.deliveries, lease.crashes) for lease in others} == {(2, 1)}
        done, again, dead = held
        endings: list[Settlement] = [Ack(done), Retry(again, 0, b""), Reject(dead, "failed", b"")]
        assert list(await consumer.settle(endings)) == [0, 1, 2]
        [stats] = await driver.stats(["q"])
        assert (stats.ready, stats.dead) == (0, 0)
        await driver.enqueue(messages(1))
        assert len(await take(consumer)) == 1  # it goes on
    assert "rabbitmq_consumer_timeout_seconds" in caplog.text


@pytest.mark.parametrize("wait_ms", [0, 1, 3])
async def test_calls_made_while_messages_are_taken_back_are_told(
    impatient: str, server: RabbitmqServer, opened: Opened, wait_ms: int
) -> None:
    """Whatever a call was doing when its channel closed, the next one works."""
    server.control("eval", "application:set_env(rabbit, consumer_timeout, 300).")
    async with opened(impatient) as (driver, consumer):
        for _ in range(5):
            await driver.enqueue(messages(1))
            [held] = await take(consumer)
            again: list[Lease] = []
            async with asyncio.timeout(30):
                while not again:
                    with suppress(ConnectionLostError):
                        again = await look(consumer, wait_ms=wait_ms)
            assert [(lease.id, lease.lease_id != held.lease_id) for lease in again] == [
                (held.id, True)
            ]
            await consumer.settle([*map(Ack, again)])


async def test_a_worker_learns_that_the_consumer_timeout_ended_a_lease(impatient: str) -> None:
    """The task that took too long is cancelled, not only its outcome refused, and runs again."""
    tasks = Registry()
    cancelled, again = asyncio.Event(), asyncio.Event()

    @task(name="rabbitmq-slow", queue="slow")
    async def slow() -> None:
        if current_context().deliveries > 1:
            again.set()
            return
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    tasks.add(slow.definition)
    config = Config(
        driver="rabbitmq",
        rabbitmq_url=impatient,
        rabbitmq_exchange_name="test",
        namespace=f"t{os.urandom(6).hex()}",
        visibility_timeout=3,
    )
    async with QueueDriver.from_config(config) as driver:
        await Dispatcher(driver).dispatch(slow())
        worker = Worker(driver, ["slow"], tasks=tasks)
        working = asyncio.create_task(worker.start(handle_signals=False))
        async with asyncio.timeout(60):
            await cancelled.wait()
            await again.wait()
        worker.stop_now()
        await working


async def test_an_alarm_leaves_outcomes_unknown_and_consumers_working(
    server: RabbitmqServer, opened: Opened
) -> None:
    async with opened(server.url, op_timeout_ms=1000) as (driver, consumer):
        await driver.enqueue(messages(3))
        done, again, released = await take(consumer, 3)
        await asyncio.to_thread(server.control, "set_vm_memory_high_watermark", "0.00001")
        try:
            await driver.ping()  # the alarm is for who publishes
            unknown = messages(1)
            with pytest.raises(OutcomeUnknownError):
                await driver.enqueue(unknown)
            assert list(await consumer.settle([Ack(done)])) == []
            endings: list[Settlement] = [
                Retry(again, 0, b"again"),
                Release(released, 0, b"released"),
            ]
            for _ in range(3):  # as core repeats it: no copy more each time
                with pytest.raises(OutcomeUnknownError):
                    await consumer.settle(endings)
        finally:
            await asyncio.to_thread(
                server.control, "set_vm_memory_high_watermark", "absolute", "1GB"
            )
        async with asyncio.timeout(10):
            while True:
                try:
                    assert list(await consumer.settle(endings)) == []
                    break
                except OutcomeUnknownError:
                    continue
        leases = await take(consumer, 3)
        assert {lease.id: lease.state for lease in leases} == {
            again.id: b"again",
            released.id: b"released",
            unknown[0].id: b"",
        }
        assert await look(consumer) == []


async def test_a_reset_connection_gives_its_leases_to_others(url: str, opened: Opened) -> None:
    port = int(url.rpartition(":")[2].strip("/"))
    async with (
        Proxy(port) as proxy,
        opened(url) as (driver, other),
        opened(url.replace(str(port), str(proxy.port))) as (cut_off, consumer),
    ):
        await driver.enqueue(messages(3))
        held = await take(consumer, 3)
        async with driver.keeper() as keeper:  # it knows only of its own driver's consumers
            assert list(await keeper.extend(held, HOUR_MS)) == [Extension.LOST] * 3
        async with cut_off.keeper() as keeper:
            assert list(await keeper.extend(held, HOUR_MS)) == [Extension.HELD] * 3
        waiting = asyncio.create_task(look(consumer, queues=("low",), wait_ms=HOUR_MS))
        await asyncio.sleep(0.1)
        proxy.reset()
        with pytest.raises(ConnectionLostError):
            await waiting
        async with cut_off.keeper() as keeper:
            assert list(await keeper.extend(held, HOUR_MS)) == [Extension.LOST] * 3
        others = await take(other, 3)
        assert {(lease.deliveries, lease.crashes) for lease in others} == {(2, 1)}
        done, again, dead = held
        endings: list[Settlement] = [Ack(done), Retry(again, 0, b""), Reject(dead, "failed", b"")]
        assert list(await consumer.settle(endings)) == [0, 1, 2]
        await other.settle([*map(Ack, others)])
        [stats] = await driver.stats(["q"])
        assert (stats.ready, stats.dead) == (0, 0)


async def test_a_lease_that_nobody_extends_goes_back(url: str, opened: Opened) -> None:
    """Also while its connection lives; one that is extended stays."""
    async with opened(url) as (driver, consumer), opened(url) as (_, other):
        await driver.enqueue(messages(2))
        begun = time.monotonic()
        held = [
            lease
            for _ in range(2)
            for lease in await consumer.lease(
                ["q"], 1, wait_ms=10_000, lease_id=os.urandom(16), visibility_ms=1000
            )
        ]
        async with driver.keeper() as keeper:
            assert list(await keeper.extend(held[:1], HOUR_MS)) == [Extension.HELD]
            [again] = await take(other)
            assert time.monotonic() - begun >= 1
            assert (again.id, again.deliveries, again.crashes) == (held[1].id, 2, 1)
            lost = [Extension.HELD, Extension.LOST]
            assert list(await keeper.extend(held, HOUR_MS)) == lost
        assert list(await consumer.settle([*map(Ack, held)])) == [1]
        assert list(await other.settle([Ack(again)])) == []
        assert await ready(driver) == 0


async def test_a_blocked_loop_keeps_its_leases(url: str, opened: Opened) -> None:
    """RabbitMQ gives up a connection after two heartbeats; it hears them all the same."""
    beating = f"{url}?heartbeat=1"
    async with opened(beating) as (driver, consumer), opened(url) as (_, other):
        await driver.enqueue(messages(1))
        [held] = await take(consumer)
        time.sleep(5)  # noqa: ASYNC251 - what a bad task does
        assert await look(other, wait_ms=500) == []
        assert list(await consumer.settle([Ack(held)])) == []
        assert await ready(driver) == 0


async def test_a_frozen_server_keeps_nobody_and_takes_nothing_back(
    server: RabbitmqServer, opened: Opened
) -> None:
    async with opened(server.url, op_timeout_ms=1000) as (driver, consumer):
        await driver.enqueue(messages(2))
        done, again = await take(consumer, 2)
        endings: list[Settlement] = [Ack(done), Retry(again, 0, b"again")]
        server.freeze()
        try:
            async with asyncio.timeout(8):
                with pytest.raises(OutcomeUnknownError):
                    await driver.enqueue(messages(1))
                with pytest.raises(DriverTimeoutError):
                    await look(consumer)
                with pytest.raises(DriverTimeoutError):
                    await driver.ping()
                with pytest.raises(OutcomeUnknownError):
                    await consumer.settle(endings)
        finally:
            server.thaw()
        assert list(await consumer.settle(endings)) == []
        leases = await take(consumer, 2)
        assert sorted(lease.state for lease in leases) == [b"", b"again"]
        assert {lease.crashes for lease in leases} == {0}


async def test_closing_does_not_wait_for_a_frozen_server(
    server: RabbitmqServer, opened: Opened
) -> None:
    async with asyncio.timeout(20):
        async with opened(server.url, op_timeout_ms=1000) as (driver, consumer):
            waiting = asyncio.create_task(look(consumer, wait_ms=HOUR_MS))
            await driver.ping()
            server.freeze()
        with pytest.raises(DriverError):
            await waiting
    server.thaw()


async def test_what_nobody_waits_for_any_more_goes_back_uncharged(url: str, opened: Opened) -> None:
    async with opened(url) as (driver, consumer), opened(url) as (_, other):
        waiting = asyncio.create_task(look(consumer, wait_ms=HOUR_MS))
        await asyncio.sleep(0.1)
        await driver.enqueue(messages(1))
        time.sleep(0.3)  # noqa: ASYNC251 - meanwhile the message comes
        waiting.cancel()
        [lease] = await take(other)
        assert (lease.deliveries, lease.crashes) == (1, 0)
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_queues_that_bring_something_at_once_lose_nothing(url: str, opened: Opened) -> None:
    async with opened(url) as (driver, consumer):
        for _ in range(10):
            waiting = asyncio.create_task(look(consumer, 1, queues=("q", "low"), wait_ms=HOUR_MS))
            await asyncio.sleep(0.05)
            await driver.enqueue(messages(3) + messages(3, "low"))
            leases = await waiting
            assert len(leases) == 1
            while len(leases) < 6:
                leases += await look(consumer, queues=("q", "low"), wait_ms=10_000)
            assert len({lease.id for lease in leases}) == 6
            assert {lease.crashes for lease in leases} <= {0, 1}
            await consumer.settle([*map(Ack, leases)])


async def test_six_retries_go_through_the_same_rungs(url: str, opened: Opened) -> None:
    """RabbitMQ 3.10 drops a message that shows it was there before."""
    delay_ms = 7 * UNIT_MS  # three rungs
    async with opened(url) as (driver, consumer):
        [message] = messages(1)
        await driver.enqueue([message])
        [lease] = await take(consumer)
        for retries in range(1, 7):
            begun = time.monotonic()
            await consumer.settle([Retry(lease, delay_ms, b"again")])
            [lease] = await take(consumer)
            assert (time.monotonic() - begun) * 1000 >= delay_ms
            assert (lease.id, lease.deliveries, lease.crashes) == (message.id, retries + 1, 0)


async def test_delays_of_any_length_do_not_wait_for_one_another(url: str, opened: Opened) -> None:
    delays_ms = [977, 1, 500, 130, 260, 70, 600, 310, 5, 40]
    async with opened(url) as (driver, consumer):
        by_id: dict[bytes, int] = {}
        begun = time.monotonic()
        for delay_ms in delays_ms:
            message = Message(new_id(), "q", b"", delay_ms=delay_ms)
            by_id[message.id] = delay_ms
            await driver.enqueue([message])
        came: list[int] = []
        while len(came) < len(delays_ms):
            for lease in await take(consumer):
                came.append(by_id[lease.id])
                assert (time.monotonic() - begun) * 1000 >= by_id[lease.id]
        assert sorted(came) == sorted(delays_ms)
        # The longest was sent first. Those close in time may change places on a busy machine.
        assert set(came[: came.index(977)]) >= {1, 5, 40, 70, 130}


async def test_a_delay_beyond_the_ladder_takes_trips_that_nobody_sees(
    url: str, opened: Opened
) -> None:
    """Each trip takes 70 ms at most."""
    async with opened(url, rungs=3, exchange_name="low") as (driver, consumer):
        begun = time.monotonic()
        message = Message(new_id(), "q", b"", delay_ms=300, expires_in_ms=HOUR_MS)
        await driver.enqueue([message])
        [lease] = await take(consumer)
        assert time.monotonic() - begun >= 0.3
        assert (lease.deliveries, lease.crashes, lease.expired) == (1, 0, False)
        assert list(await consumer.settle([Ack(lease)])) == []


async def test_a_refused_part_of_a_batch_is_named(url: str, opened: Opened) -> None:
    async with opened(url) as (driver, consumer):
        batch = messages(3)
        batch[1].body = bytes((16 << 20) + 1)
        with pytest.raises(EnqueueError) as caught:
            await driver.enqueue(batch)
        assert list(caught.value.failures) == [1]
        assert len(await take(consumer, 2)) == 2


async def test_pages_of_dead_letters_leave_none_out(url: str, opened: Opened) -> None:
    """They died in another order than that of their ids."""
    async with opened(url) as (driver, consumer):
        batch = messages(6)
        for message in reversed(batch):
            await driver.enqueue([message])
            [lease] = await take(consumer)
            await consumer.settle([Reject(lease, "failed", b"")])
        dead = driver.dead_letters
        assert dead is not None
        found: list[bytes] = []
        while page := await dead.browse("q", limit=2, after=found[-1] if found else None):
            found += [letter.id for letter in page]
        assert found == sorted(message.id for message in batch)
