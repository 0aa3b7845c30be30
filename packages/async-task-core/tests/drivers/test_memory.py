"""What the memory driver does beyond the interface."""

from __future__ import annotations

import asyncio
import os
import uuid

import pytest
from async_task.core.ids import new_id
from async_task.drivers.memory import MemoryDriver, MemorySettings
from async_task.spi.driver import ConsumerOptions, DriverOptions
from async_task.spi.errors import ConfigurationError, DriverError
from async_task.spi.messages import Lease, Message

OPTIONS = ConsumerOptions(queues=("q",), max_leases=10)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def name() -> str:
    return uuid.uuid4().hex


def make(name: str, namespace: str = "") -> MemoryDriver:
    return MemoryDriver(MemorySettings(name=name), DriverOptions(namespace=namespace))


async def take(driver: MemoryDriver, wait_ms: int = 0) -> list[Lease]:
    async with driver.consumer(OPTIONS) as consumer:
        return list(
            await consumer.lease(
                ["q"], 10, wait_ms=wait_ms, lease_id=os.urandom(16), visibility_ms=60_000
            )
        )


@pytest.mark.anyio
async def test_drivers_of_one_name_and_namespace_share_a_store(name: str) -> None:
    one, same, other = make(name), make(name), make(name, "other")
    for driver in (one, same, other):
        await driver.open()
    await one.enqueue([Message(new_id(), "q", b"body")])
    assert await take(other) == []
    assert len(await take(same)) == 1


def test_a_waiting_lease_is_woken_from_another_thread_s_loop(name: str) -> None:
    """A message stored in one event loop reaches a consumer that waits in another."""

    async def store() -> None:
        driver = make(name)
        await driver.open()
        await driver.enqueue([Message(new_id(), "q", b"body")])

    async def wait() -> list[Lease]:
        driver = make(name)
        await driver.open()
        taking = asyncio.create_task(take(driver, wait_ms=60_000))
        await asyncio.sleep(0)  # it has looked, and waits
        await asyncio.to_thread(asyncio.run, store())
        return await taking

    assert len(asyncio.run(wait())) == 1


def test_a_loop_that_was_closed_while_it_waited_harms_nobody(name: str) -> None:
    """Its consumer is forgotten or woken in vain; the store goes on."""

    async def abandon() -> None:
        driver = make(name)
        await driver.open()
        asyncio.create_task(take(driver, wait_ms=60_000))  # noqa: RUF006 - abandoned on purpose
        await asyncio.sleep(0)

    async def use() -> int:
        driver = make(name)
        await driver.open()
        await driver.enqueue([Message(new_id(), "q", b"body")])
        return len(await take(driver))

    asyncio.run(abandon())
    assert asyncio.run(use()) == 1


@pytest.mark.anyio
async def test_a_driver_that_is_not_open_says_so(name: str) -> None:
    driver = make(name)
    with pytest.raises(DriverError, match=r"not open: await its open\(\) first"):
        await driver.ping()


def test_a_url_names_the_store() -> None:
    assert MemorySettings.from_url("memory://mine") == {"name": "mine"}
    assert MemorySettings.from_url("memory://") == {}


@pytest.mark.parametrize("url", ["memory://a/b", "memory:///a", "memory://a?b=c", "memory://a#b"])
def test_a_url_that_says_more_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="write memory:// or memory://name"):
        MemorySettings.from_url(url)
