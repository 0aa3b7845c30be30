from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
from async_task.spi.driver import Driver, DriverOptions
from async_task.testing.conformance import DriverConformance
from async_task.testing.harness import DriverHarness
from async_task_mysql import plugin
from async_task_mysql.address import Address
from async_task_mysql.client import Client
from async_task_mysql.driver import MysqlDriver
from async_task_mysql.settings import MysqlSettings


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
        await self._for_tables(namespaces, "DELETE FROM `{}`", but="_schema")
        self.empty += namespaces

    def drop(self) -> None:
        asyncio.run(self._for_tables(self._made, "DROP TABLE `{}`"))

    async def _for_tables(self, namespaces: set[str], sql: str, but: str = "?") -> None:
        client = await Client.connect(Address.of(self._dsn), 5)
        [tables] = await client.run("SHOW TABLES")
        for (table,) in tables.rows:
            if table.startswith(tuple(namespaces)) and not table.endswith(but):
                await client.run(sql.format(table))
        client.abort()


class MysqlHarness(DriverHarness):
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
        driver = MysqlDriver(MysqlSettings(dsn=self._dsn), DriverOptions(namespace=namespace))
        self._used[driver] = namespace
        return driver


@pytest.fixture(scope="module")
def namespaces(dsn: str) -> Iterator[Namespaces]:
    namespaces = Namespaces(dsn)
    yield namespaces
    namespaces.drop()


class TestMysql(DriverConformance):
    capabilities = plugin.CAPABILITIES

    @pytest.fixture
    async def harness(self, dsn: str, namespaces: Namespaces) -> AsyncIterator[DriverHarness]:
        harness = MysqlHarness(dsn, namespaces)
        yield harness
        await harness.aclose()
