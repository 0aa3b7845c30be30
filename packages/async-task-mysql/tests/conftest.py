from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from async_task.spi.driver import Consumer, ConsumerOptions, DriverOptions
from async_task.testing.servers.base import shared
from async_task.testing.servers.mysql import MariadbServer
from async_task_mysql.address import Address
from async_task_mysql.client import Client
from async_task_mysql.driver import MysqlDriver
from async_task_mysql.settings import MysqlSettings


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def dsn() -> Iterator[str]:
    """A database that others may use too."""
    with shared(MariadbServer) as url:
        yield url


@pytest.fixture(scope="module")
def server() -> Iterator[MariadbServer]:
    """A server of the module's own, with every default of a session as unlike ours as can be."""
    with MariadbServer(
        autocommit="0",
        character_set_server="latin1",
        default_time_zone="+05:30",
        sql_mode="NO_BACKSLASH_ESCAPES,ANSI_QUOTES",
        transaction_isolation="REPEATABLE-READ",
        innodb_lock_wait_timeout="50",
    ) as server:
        yield server


@pytest.fixture
async def admin(server: MariadbServer) -> AsyncIterator[Client]:
    """A superuser's connection; after the test the database is empty."""
    admin = await Client.connect(Address.of(server.url), 5)
    yield admin
    if admin.ended:  # the test took the server away
        admin.abort()
        admin = await Client.connect(Address.of(server.url), 5)
    await admin.run("ROLLBACK; DROP DATABASE test; CREATE DATABASE test")
    admin.abort()


@pytest.fixture
def make(server: MariadbServer, admin: Client) -> Callable[..., Any]:
    """Makes drivers on the module's server, on tables that go with the test."""

    def make(
        *, dsn: str = server.url, op_timeout_ms: int = 5000, **settings: object
    ) -> MysqlDriver:
        options = DriverOptions(op_timeout_ms=op_timeout_ms)
        return MysqlDriver(MysqlSettings.make(dsn=dsn, **settings), options)

    return make


@pytest.fixture
async def driver(make: Callable[..., Any]) -> AsyncIterator[Any]:
    driver = make()
    await driver.open()
    yield driver
    await driver.close()


@pytest.fixture
async def consumer(driver: MysqlDriver) -> AsyncIterator[Consumer]:
    async with driver.consumer(ConsumerOptions(queues=("q",), max_leases=100)) as consumer:
        yield consumer
