from __future__ import annotations

import uuid

import pytest
from async_task.spi.driver import Driver, DriverOptions
from async_task.testing.conformance import DriverConformance
from async_task.testing.harness import DriverHarness
from async_task_redis import plugin
from async_task_redis.driver import RedisDriver
from async_task_redis.settings import RedisSettings


class RedisHarness(DriverHarness):
    """Makes drivers on one server, each `make` with a namespace of its own."""

    def __init__(self, **settings: object) -> None:
        self._settings = RedisSettings.make(**settings)
        self._namespaces: dict[Driver, str] = {}

    async def make(self) -> Driver:
        return self._new(uuid.uuid4().hex)

    async def again(self, driver: Driver) -> Driver:
        return self._new(self._namespaces[driver])

    def _new(self, namespace: str) -> Driver:
        driver = RedisDriver(self._settings, DriverOptions(namespace=namespace))
        self._namespaces[driver] = namespace
        return driver


class TestSingle(DriverConformance):
    capabilities = plugin.CAPABILITIES

    @pytest.fixture
    def harness(self, url: str) -> DriverHarness:
        return RedisHarness(url=url)
