"""Losing replies, connections and the server under load."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar

import asyncpg
import pytest
from async_task.spi.driver import Consumer, ConsumerOptions
from async_task.spi.errors import DriverError, OutcomeUnknownError
from async_task.spi.messages import Ack, Lease, Message, Release, StoredResult
from async_task.testing.cancellation import cancelled_at
from async_task.testing.proxy import Proxy
from async_task.testing.servers.postgres import PostgresServer

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("orphans")]
Make = Callable[..., Any]
T = TypeVar("T")

OPTIONS = ConsumerOptions(queues=("q",), max_leases=100)
HOUR_MS = 3_600_000


@pytest.fixture
async def proxy(server: PostgresServer) -> AsyncIterator[Proxy]:
    async with Proxy(server.port) as proxy:
        yield proxy


def through(proxy: Proxy, server: PostgresServer) -> str:
    return server.url.replace(str(server.port), str(proxy.port))


def messages(count: int) -> list[Message]:
    return [Message(os.urandom(16), "q", b"body") for _ in range(count)]


async def insist(call: Callable[[], Awaitable[T]]) -> T:
    """Make a call again until it is answered, as core does."""
    while True:
        try:
            return await call()
        except DriverError as error:
            assert error.retryable, error
            await asyncio.sleep(0.02)


class Ledger:
    """Messages put through a driver, and how often each was handed out and ended."""

    def __init__(self, driver: Any, *, visibility_ms: int = HOUR_MS) -> None:
        self._driver = driver
        self._visibility_ms = visibility_ms
        self.accepted: list[bytes] = []
        self.deliveries: Counter[bytes] = Counter()
        self.counted: dict[bytes, int] = {}
        self.done: Counter[bytes] = Counter()
        self._progress = asyncio.Condition()

    async def until(self, enough: Callable[[], bool]) -> None:
        """Wait until work has come so far."""
        async with self._progress:
            await self._progress.wait_for(enough)

    async def produce(self, batches: int) -> None:
        for _ in range(batches):
            batch = messages(5)
            await insist(partial(self._driver.enqueue, batch))
            self.accepted += [message.id for message in batch]

    async def consume(self, enough: Callable[[], bool], *, releases: int = 1) -> None:
        """Take, give back as often as told, then end, until there is no more to do."""
        unknown: set[bytes] = set()
        async with self._driver.consumer(OPTIONS) as consumer:
            while not enough():
                for lease in await self._take(consumer, unknown):
                    self.deliveries[lease.id] += 1
                    self.counted[lease.id] = lease.deliveries
                    await self._end(consumer, lease, releases)
                    async with self._progress:
                        self._progress.notify_all()

    async def _take(self, consumer: Consumer, unknown: set[bytes]) -> Sequence[Lease]:
        # The server may still be at what a lost call asked for, so that is asked again each time.
        for lease_id in list(unknown):
            if leases := await insist(partial(consumer.recover, lease_id)):
                unknown.discard(lease_id)
                return leases
        lease_id = os.urandom(16)
        try:
            return await consumer.lease(
                ("q",), 7, wait_ms=20, lease_id=lease_id, visibility_ms=self._visibility_ms
            )
        except DriverError as error:
            assert error.retryable, error
            if isinstance(error, OutcomeUnknownError):
                unknown.add(lease_id)
            await asyncio.sleep(0.02)
            return ()

    async def _end(self, consumer: Consumer, lease: Lease, releases: int) -> None:
        if lease.deliveries <= releases:
            await insist(lambda: consumer.settle([Release(lease, 0, b"again")]))
            return
        result = StoredResult(lease.id, HOUR_MS)
        await insist(lambda: consumer.settle([Ack(lease, result)]))
        self.done[lease.id] += 1


async def assert_empty(driver: Any) -> None:
    [stats] = await driver.stats(["q"])
    assert (stats.ready, stats.delayed, stats.leased, stats.dead) == (0, 0, 0, 0)


async def put_through(ledger: Ledger, driver: Any) -> None:
    """Put 100 messages through, two deliveries each, and check that each effect came once.

    All are stored first, for storing again what is finished already is no duplicate.
    """
    await ledger.produce(20)
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(ledger.consume(lambda: len(ledger.done) == 100))
    assert sorted(ledger.accepted) == sorted(ledger.done)
    assert set(ledger.done.values()) == {1}, "a message was ended twice"
    assert set(ledger.deliveries.values()) == set(ledger.counted.values()) == {2}
    assert await insist(lambda: driver.results.get(ledger.accepted)) == ledger.accepted


async def test_lost_replies_have_no_double_effect(
    make: Make, proxy: Proxy, server: PostgresServer
) -> None:
    driver = make(dsn=through(proxy, server))
    await driver.open()
    proxy.drop_replies(31)  # a new connection's first call alone takes about nine
    await put_through(Ledger(driver), driver)
    assert proxy.dropped > 10
    proxy.pass_all()
    await assert_empty(driver)
    await driver.close()


async def test_resets_have_no_double_effect(
    make: Make, proxy: Proxy, server: PostgresServer
) -> None:
    driver = make(dsn=through(proxy, server))
    await driver.open()

    ledger = Ledger(driver)

    async def reset() -> None:
        for deliveries in range(5, 200, 5):
            await ledger.until(lambda: ledger.deliveries.total() >= deliveries)  # noqa: B023 - awaited within the turn
            proxy.reset()

    async with asyncio.TaskGroup() as group:
        group.create_task(reset())
        group.create_task(put_through(ledger, driver))
    await assert_empty(driver)
    await driver.close()


async def test_every_call_is_bounded_in_a_silent_partition(
    make: Make, proxy: Proxy, server: PostgresServer
) -> None:
    driver = make(dsn=through(proxy, server), op_timeout_ms=300)
    await driver.open()
    await driver.enqueue(messages(3))
    async with driver.consumer(OPTIONS) as consumer, driver.keeper() as keeper:
        first = await lease(consumer, 3)
        await keeper.extend(first, HOUR_MS)
        proxy.black_hole()
        calls: list[Coroutine[Any, Any, object]] = [
            driver.ping(),
            driver.enqueue(messages(1)),
            driver.provision(["q"]),
            driver.maintain(),
            driver.stats(["q"]),
            driver.purge("q"),
            consumer.settle([Ack(first[0])]),
            consumer.settle([Release(first[1], 0, b"")]),
            consumer.recover(first[0].lease_id),
            lease(consumer, 1),
            keeper.extend(first, HOUR_MS),
            keeper.extend(first, HOUR_MS),
            driver.dead_letters.browse("q", limit=1),
            driver.dead_letters.requeue("q", {b"0" * 16: b""}),
            driver.results.get([b"0" * 16]),
            driver.control.cancel([b"0" * 16]),
            driver.control.queues(),
            driver.migrations.pending(),
            *(driver.ping() for _ in range(30)),
        ]
        async with asyncio.timeout(1.3):
            answers = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(answer, DriverError) and answer.retryable for answer in answers)
        proxy.pass_all()
        await insist(driver.ping)
        assert not await insist(lambda: consumer.settle([Ack(first[2])]))
        proxy.black_hole()
        async with asyncio.timeout(1.3):
            await driver.close()
    async with asyncio.timeout(1.3):
        with pytest.raises(DriverError):
            await driver.open()


async def lease(consumer: Consumer, limit: int) -> Sequence[Lease]:
    return await consumer.lease(
        ("q",), limit, wait_ms=0, lease_id=os.urandom(16), visibility_ms=HOUR_MS
    )


async def test_cancelling_anywhere_leaves_the_connections_right(
    make: Make, admin: asyncpg.Connection
) -> None:
    driver = make(max_pool_size=2)
    await driver.open()
    await driver.control.pause("paused")
    async with driver.consumer(OPTIONS) as consumer, driver.keeper() as keeper:
        held = Lease(b"0" * 16, "q", b"", b"1" * 16, 1, 0)
        calls: list[Callable[[], Coroutine[Any, Any, object]]] = [
            driver.ping,
            driver.maintain,
            lambda: driver.enqueue(messages(1)),
            lambda: driver.stats(["q"]),
            lambda: driver.control.queues(),
            lambda: driver.results.wait([b"0" * 16], wait_ms=1),
            lambda: lease(consumer, 1),
            lambda: consumer.settle([Ack(held)]),
            lambda: consumer.settle([Release(held, 0, b"")]),
            lambda: keeper.extend([held], 1000),
        ]
        for call in calls:
            for suspension in range(8):
                await cancelled_at(suspension, call())
                paused, states, stats = await asyncio.gather(
                    driver.control.paused(), driver.control.status([b"0" * 16]), driver.stats([])
                )
                assert (paused, states, stats) == (["paused"], [None], [])
        assert await sessions(admin) <= 6  # two, three of the lanes, one that listens
    await driver.close()
    assert await sessions(admin) == 0


async def test_a_connection_that_comes_as_its_caller_is_cancelled_is_dropped(
    make: Make, admin: asyncpg.Connection
) -> None:
    driver = make(min_pool_size=0)
    await driver.open()
    before = await sessions(admin)
    others = asyncio.all_tasks()
    pinging = asyncio.create_task(driver.ping())
    await asyncio.sleep(0)  # it has begun to connect, in a task of the attempt's own
    connecting = asyncio.all_tasks() - others - {pinging}
    connecting.pop().add_done_callback(lambda _: pinging.cancel())
    await asyncio.wait([pinging])
    assert pinging.cancelled()
    assert await sessions(admin) == before
    await driver.close()


async def sessions(admin: asyncpg.Connection) -> int:
    """Count the others' sessions, a moment later: the server sees late that a client went away."""
    await asyncio.sleep(0.5)
    count: int = await admin.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = 'test' AND pid <> pg_backend_pid()"
    )
    return count


async def test_a_killed_server_loses_nothing_it_acknowledged(
    make: Make, server: PostgresServer
) -> None:
    """Twice, one outage longer than a lease; all take up work within five seconds."""
    driver = make(op_timeout_ms=1000)
    await driver.open()
    ledger = Ledger(driver, visibility_ms=1000)
    finished = False
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(ledger.consume(lambda: finished, releases=0))
        producer = group.create_task(ledger.produce(10_000))
        for outage_s in (0.0, 2.0):
            before = len(ledger.done)
            await ledger.until(lambda: len(ledger.done) >= before + 50)  # noqa: B023 - awaited within the turn
            await asyncio.to_thread(server.kill9)
            await asyncio.sleep(outage_s)
            await asyncio.to_thread(server.start)
            before = len(ledger.done)
            async with asyncio.timeout(5):
                await ledger.until(lambda: len(ledger.done) >= before + 20)  # noqa: B023 - awaited within the turn
        producer.cancel()
        await asyncio.wait([producer])
        async with asyncio.timeout(20):
            await ledger.until(lambda: ledger.done.keys() >= set(ledger.accepted))
        finished = True
    await driver.close()


async def test_a_frozen_server_holds_nobody_up(make: Make, server: PostgresServer) -> None:
    driver = make(op_timeout_ms=300)
    await driver.open()
    server.freeze()
    try:
        async with asyncio.timeout(1.3):
            with pytest.raises(DriverError):
                await driver.ping()
    finally:
        server.thaw()
    await insist(driver.ping)
    await driver.close()
