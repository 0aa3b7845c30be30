from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from async_task.spi.driver import Consumer, ConsumerOptions, DriverOptions
from async_task_sqlite.driver import SqliteDriver
from async_task_sqlite.settings import SqliteSettings


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue.db"


@pytest.fixture
def make(path: Path) -> Callable[..., SqliteDriver]:
    """Makes drivers on the test's file."""

    def make(*, path: Path = path, op_timeout_ms: int = 5000) -> SqliteDriver:
        options = DriverOptions(op_timeout_ms=op_timeout_ms)
        return SqliteDriver(SqliteSettings(path=str(path)), options)

    return make


@pytest.fixture
async def driver(make: Callable[..., SqliteDriver]) -> AsyncIterator[SqliteDriver]:
    driver = make()
    await driver.open()
    yield driver
    await driver.close()


@pytest.fixture
async def consumer(driver: SqliteDriver) -> AsyncIterator[Consumer]:
    async with driver.consumer(ConsumerOptions(queues=("q",), max_leases=100)) as consumer:
        yield consumer
