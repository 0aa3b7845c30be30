"""What bad networks do: lost replies, resets, black holes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, TypeAlias, TypeVar

import pytest
from async_task.spi.driver import Consumer, ConsumerOptions
from async_task.spi.errors import DriverError, OutcomeUnknownError
from async_task.spi.messages import (
    Ack,
    Extension,
    Lease,
    Message,
    Reject,
    Retry,
    Settlement,
    StoredResult,
)
from async_task.testing.proxy import Proxy
from async_task.testing.servers.redis import RedisServer
from async_task_redis.driver import RedisDriver

pytestmark = pytest.mark.anyio

Opened: TypeAlias = Callable[..., AbstractAsyncContextManager[RedisDriver]]

T = TypeVar("T")
OP_TIMEOUT_MS = 300
OPTIONS = ConsumerOptions(queues=("q",), max_leases=100)


def message(body: bytes = b"body", **more: Any) -> Message:
    return Message(os.urandom(16), "q", body, **more)


def there(facet: T | None) -> T:
    assert facet is not None
    return facet


@pytest.fixture
async def proxy(server: RedisServer) -> AsyncIterator[Proxy]:
    async with Proxy(server.port) as proxy:
        yield proxy


def url(proxy: Proxy) -> str:
    return f"redis://127.0.0.1:{proxy.port}"


async def repeated(call: Callable[[], Awaitable[T]]) -> T:
    """Repeat a call until it is answered, as core does."""
    for _ in range(100):
        try:
            return await call()
        except DriverError as error:
            assert error.retryable, repr(error)
    pytest.fail("never answered")


async def lease(consumer: Consumer, limit: int, *, visibility_ms: int = 60_000) -> Sequence[Lease]:
    """Lease; what a call of unknown outcome took is read again."""
    lease_id = os.urandom(16)
    try:
        return await consumer.lease(
            ("q",), limit, wait_ms=0, lease_id=lease_id, visibility_ms=visibility_ms
        )
    except OutcomeUnknownError:
        return await repeated(lambda: consumer.recover(lease_id))
    except DriverError as error:
        assert error.retryable, repr(error)
        return ()


async def live_through(driver: RedisDriver, count: int) -> None:
    """Store messages, fail each once, finish half and reject half; check that all counts agree."""
    messages = [message() for _ in range(count)]
    for each in messages:
        await repeated(partial(driver.enqueue, [each]))
    seen: dict[bytes, list[int]] = {each.id: [] for each in messages}
    settled = 0
    keeper = driver.keeper()
    async with driver.consumer(OPTIONS) as consumer, keeper as renewal:
        while settled < 2 * count:
            leases = await lease(consumer, 5)
            answers = await repeated(partial(renewal.extend, leases, 60_000))
            assert set(answers) <= {Extension.HELD}
            for held in leases:
                seen[held.id].append(held.deliveries)
                ending: Settlement = Reject(held, "failed", b"failed twice")
                if held.deliveries == 1:
                    ending = Retry(held, 0, b"failed once")
                elif held.id[0] % 2:
                    ending = Ack(held, StoredResult(held.id, 60_000))
                await repeated(partial(consumer.settle, [ending]))
                settled += 1
        assert not await lease(consumer, 5)
    assert all(deliveries == [1, 2] for deliveries in seen.values())
    odd = {each.id for each in messages if each.id[0] % 2}
    results = await repeated(lambda: there(driver.results).get(list(seen)))
    assert {body for body in results if body} == odd
    letters = await repeated(lambda: there(driver.dead_letters).browse("q", limit=count))
    assert {letter.id for letter in letters} == seen.keys() - odd
    [stats] = await repeated(lambda: driver.stats(["q"]))
    assert (stats.ready, stats.delayed, stats.leased) == (0, 0, 0)


async def test_lost_replies_do_nothing_twice(proxy: Proxy, opened: Opened) -> None:
    async with opened(url(proxy)) as driver:
        proxy.drop_replies(20)
        await live_through(driver, 150)
    assert proxy.dropped > 20


async def test_resets_lose_nothing(proxy: Proxy, opened: Opened) -> None:
    async def reset() -> None:
        while True:
            await asyncio.sleep(0.05)
            proxy.reset()

    async with opened(url(proxy)) as driver:
        resetting = asyncio.create_task(reset())
        try:
            await live_through(driver, 150)
        finally:
            resetting.cancel()


async def test_a_black_hole_holds_no_call_longer_than_it_may_take(
    proxy: Proxy, opened: Opened
) -> None:
    async with opened(url(proxy), op_timeout_ms=OP_TIMEOUT_MS) as driver:
        await driver.enqueue([message() for _ in range(3)])
        keeper = driver.keeper()
        async with driver.consumer(OPTIONS) as consumer, keeper as renewal:
            [held] = await lease(consumer, 1)
            await renewal.extend([held], 60_000)
            calls: dict[str, Callable[[], Awaitable[object]]] = {
                "ping": driver.ping,
                "enqueue": lambda: driver.enqueue([message()]),
                "stats": lambda: driver.stats(["q"]),
                "purge": lambda: driver.purge("q"),
                "maintain": driver.maintain,
                "provision": lambda: driver.provision(["q"]),
                "status": lambda: there(driver.control).status([held.id]),
                "results": lambda: there(driver.results).get([held.id]),
                "dead letters": lambda: there(driver.dead_letters).browse("q", limit=1),
                "wait for a result": lambda: there(driver.results).wait([held.id], wait_ms=100),
                "lease": lambda: consumer.lease(
                    ("q",), 1, wait_ms=100, lease_id=os.urandom(16), visibility_ms=60_000
                ),
                "settle": lambda: consumer.settle([Ack(held)]),
                "recover": lambda: consumer.recover(held.lease_id),
                "extend": lambda: renewal.extend([held], 60_000),
            }
            proxy.black_hole()
            for _ in range(2):  # on a connection, and while making another
                for name, call in calls.items():
                    async with asyncio.timeout(OP_TIMEOUT_MS / 1000 + 1):
                        with pytest.raises(DriverError) as caught:
                            await call()
                    assert caught.value.retryable, name
            proxy.pass_all()
            assert await repeated(lambda: renewal.extend([held], 60_000)) == [Extension.HELD]
            await repeated(lambda: consumer.settle([Ack(held)]))
    async with asyncio.timeout(OP_TIMEOUT_MS / 1000 + 1):
        async with opened(url(proxy), op_timeout_ms=OP_TIMEOUT_MS) as driver:
            proxy.black_hole()


async def test_a_slow_network_is_only_slow(proxy: Proxy, opened: Opened) -> None:
    async with opened(url(proxy)) as driver:
        proxy.delay(0.01)
        await live_through(driver, 10)


async def test_a_waiting_lease_survives_a_lost_connection(proxy: Proxy, opened: Opened) -> None:
    async with opened(url(proxy)) as driver, driver.consumer(OPTIONS) as consumer:
        waiting = asyncio.create_task(
            repeated(
                lambda: consumer.lease(
                    ("q",), 1, wait_ms=60_000, lease_id=os.urandom(16), visibility_ms=60_000
                )
            )
        )
        await driver.ping()
        proxy.reset()
        await repeated(lambda: driver.enqueue([message(b"here")]))
        assert [each.body for each in await waiting] == [b"here"]


async def test_a_waiting_result_survives_a_lost_connection(proxy: Proxy, opened: Opened) -> None:
    async with opened(url(proxy)) as driver:
        wanted = os.urandom(16)
        waiting = asyncio.create_task(
            repeated(lambda: there(driver.results).wait([wanted], wait_ms=60_000))
        )
        await driver.ping()
        proxy.reset()
        await repeated(lambda: there(driver.results).put({wanted: StoredResult(b"done", 60_000)}))
        assert await waiting == {wanted: b"done"}
