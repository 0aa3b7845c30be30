from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
from async_task.spi.driver import Driver, DriverOptions
from async_task.testing.conformance import DriverConformance
from async_task.testing.harness import DriverHarness
from async_task.testing.servers.postgres import PgBouncerServer
from async_task_postgres import plugin
from async_task_postgres.driver import PostgresDriver
from async_task_postgres.settings import PostgresSettings


class Namespaces:
    """Namespaces of one database, emptied and used again: making tables takes half a second."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._made: set[str] = set()
        self.empty: list[str] = []

    def new(self) -> str:
        namespace = f"test_{uuid.uuid4().hex[:12]}"
        self._made.add(namespace)
        return namespace

    async def empty_out(self, namespaces: set[str]) -> None:
        await self._for_tables(namespaces, 'DELETE FROM "{}"', but="_schema")
        self.empty += namespaces

    def drop(self) -> None:
        asyncio.run(self._for_tables(self._made, 'DROP TABLE "{}"'))

    async def _for_tables(self, namespaces: set[str], sql: str, but: str = "?") -> None:
        connection = await asyncpg.connect(self._dsn, statement_cache_size=0)
        for (table,) in await connection.fetch("SELECT tablename FROM pg_tables"):
            if table.startswith(tuple(namespaces)) and not table.endswith(but):
                await connection.execute(sql.format(table))
        await connection.close()


class PostgresHarness(DriverHarness):
    """Makes drivers on one database, each `make` with tables of its own."""

    def __init__(self, dsn: str, namespaces: Namespaces) -> None:
        self._dsn = dsn
        self._namespaces = namespaces
        self._used: dict[Driver, str] = {}
        self.bare = self._bare

    async def make(self) -> Driver:
        if self._namespaces.empty:
            return self._new(self._namespaces.empty.pop())
        driver = await self._bare()
        assert driver.migrations is not None
        await driver.migrations.apply()
        return driver

    async def again(self, driver: Driver) -> Driver:
        return self._new(self._used[driver])

    async def aclose(self) -> None:
        await self._namespaces.empty_out({*self._used.values()})

    async def _bare(self) -> Driver:
        return self._new(self._namespaces.new())

    def _new(self, namespace: str) -> Driver:
        driver = PostgresDriver(PostgresSettings(dsn=self._dsn), DriverOptions(namespace=namespace))
        self._used[driver] = namespace
        return driver


@pytest.fixture(scope="module")
def namespaces(dsn: str) -> Iterator[Namespaces]:
    namespaces = Namespaces(dsn)
    yield namespaces
    namespaces.drop()


@pytest.fixture(scope="module")
def pooled(dsn: str) -> Iterator[str]:
    with PgBouncerServer(dsn) as server:
        yield server.url


@pytest.mark.usefixtures("orphans")
class TestPostgres(DriverConformance):
    capabilities = plugin.CAPABILITIES

    @pytest.fixture
    async def harness(self, dsn: str, namespaces: Namespaces) -> AsyncIterator[DriverHarness]:
        harness = PostgresHarness(dsn, namespaces)
        yield harness
        await harness.aclose()


@pytest.mark.usefixtures("orphans")
class TestPgBouncer(DriverConformance):
    capabilities = plugin.CAPABILITIES

    @pytest.fixture
    async def harness(self, pooled: str, namespaces: Namespaces) -> AsyncIterator[DriverHarness]:
        harness = PostgresHarness(pooled, namespaces)
        yield harness
        await harness.aclose()
