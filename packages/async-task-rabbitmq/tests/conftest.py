from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeAlias

import pytest
from async_task.spi.driver import ConsumerOptions, DriverOptions
from async_task.testing.servers.base import shared
from async_task.testing.servers.rabbitmq import RabbitmqServer
from async_task_rabbitmq.consumer import RabbitmqConsumer
from async_task_rabbitmq.driver import RabbitmqDriver
from async_task_rabbitmq.settings import RabbitmqSettings

Opened: TypeAlias = Callable[
    ..., AbstractAsyncContextManager[tuple[RabbitmqDriver, RabbitmqConsumer]]
]

UNIT_MS = 10
"""What the lowest rung holds in tests."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    """The URL of a server that others may use too."""
    with shared(RabbitmqServer) as url:
        yield url


@pytest.fixture(scope="session")
def server() -> Iterator[RabbitmqServer]:
    """A server of our own, to be killed and frozen; every test leaves it running."""
    with RabbitmqServer() as server:
        yield server


@pytest.fixture
def opened() -> Opened:
    """Opens a driver in the test's namespace, and a consumer of the queues `q` and `low`."""
    namespace = f"t{os.urandom(6).hex()}"

    @asynccontextmanager
    async def opened(
        url: str, *, op_timeout_ms: int = 5000, rungs: int | None = None, **settings: object
    ) -> AsyncGenerator[tuple[RabbitmqDriver, RabbitmqConsumer]]:
        options = DriverOptions(namespace=namespace, op_timeout_ms=op_timeout_ms)
        given = RabbitmqSettings.make(url=url, **{"exchange_name": "test", **settings})
        scale = {} if rungs is None else {"rungs": rungs}
        driver = RabbitmqDriver(given, options, unit_ms=UNIT_MS, **scale)
        await driver.open()
        try:
            consuming = ConsumerOptions(queues=("q", "low"), max_leases=100)
            async with driver.consumer(consuming) as consumer:
                yield driver, consumer
        finally:
            await driver.close()

    return opened
