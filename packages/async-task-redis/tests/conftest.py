from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from async_task.spi.driver import DriverOptions
from async_task.testing.servers.redis import RedisServer
from async_task_redis.driver import RedisDriver
from async_task_redis.settings import RedisSettings


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def namespace() -> str:
    """The test's own."""
    return os.urandom(8).hex()


@pytest.fixture
def opened(namespace: str) -> Callable[..., AbstractAsyncContextManager[RedisDriver]]:
    """Opens drivers in the test's namespace, and closes them."""

    @asynccontextmanager
    async def opened(
        url: str, *, op_timeout_ms: int = 5000, **settings: object
    ) -> AsyncGenerator[RedisDriver]:
        options = DriverOptions(namespace=namespace, op_timeout_ms=op_timeout_ms)
        driver = RedisDriver(RedisSettings.make(url=url, **settings), options)
        await driver.open()
        try:
            yield driver
        finally:
            await driver.close()

    return opened


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A private server that keeps what it acknowledged."""
    with RedisServer("--appendonly", "yes") as server:
        yield server
