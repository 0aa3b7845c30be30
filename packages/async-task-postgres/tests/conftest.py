from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import asyncpg
import pytest
from async_task.spi.driver import Consumer, ConsumerOptions, DriverOptions
from async_task.testing.servers.base import shared
from async_task.testing.servers.postgres import PostgresServer, asyncpg_orphans
from async_task_postgres.driver import PostgresDriver
from async_task_postgres.settings import PostgresSettings


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def orphans() -> AsyncIterator[None]:
    """Let asyncpg lose the future of an attempt that is given up as it connects."""
    with asyncpg_orphans():
        yield


@pytest.fixture(scope="session")
def dsn() -> Iterator[str]:
    """A database that others may use too."""
    with shared(PostgresServer) as url:
        yield url


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server of the module's own, for what must not be done to others'."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
async def admin(server: PostgresServer) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection; after the test nothing is left in `public`."""
    connection = await asyncpg.connect(server.url)
    yield connection
    if connection.is_closed():  # the test took the server away
        connection = await asyncpg.connect(server.url)
    await connection.execute(
        "DROP SCHEMA public CASCADE; CREATE SCHEMA public; GRANT USAGE ON SCHEMA public TO PUBLIC"
    )
    await connection.close()


@pytest.fixture
def make(server: PostgresServer, admin: asyncpg.Connection) -> Callable[..., PostgresDriver]:
    """Makes drivers on the module's server, on tables that go with the test."""

    def make(
        *, dsn: str = server.url, op_timeout_ms: int = 5000, **settings: Any
    ) -> PostgresDriver:
        options = DriverOptions(op_timeout_ms=op_timeout_ms)
        return PostgresDriver(PostgresSettings(dsn=dsn, **settings), options)

    return make


@pytest.fixture
async def driver(make: Callable[..., PostgresDriver]) -> AsyncIterator[PostgresDriver]:
    driver = make()
    await driver.open()
    yield driver
    await driver.close()


@pytest.fixture
async def consumer(driver: PostgresDriver) -> AsyncIterator[Consumer]:
    async with driver.consumer(ConsumerOptions(queues=("q",), max_leases=100)) as consumer:
        yield consumer
