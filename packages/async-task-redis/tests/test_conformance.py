from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from async_task.spi.driver import Consumer, Driver, DriverOptions
from async_task.testing.conformance import DriverConformance
from async_task.testing.harness import DriverHarness
from async_task.testing.servers.redis import (
    RedisSentinel,
    RedisServer,
    ValkeyServer,
    redis_cluster,
)
from async_task_redis import plugin
from async_task_redis.driver import RedisDriver
from async_task_redis.settings import RedisSettings


class RedisHarness(DriverHarness):
    """Makes drivers on one server, each `make` with a namespace of its own."""

    def __init__(self, server: RedisServer | None = None, **settings: Any) -> None:
        self._settings = RedisSettings.make(**settings)
        self._namespaces: dict[Driver, str] = {}
        if server is not None:
            self._server = server
            self.kill = self._drop_connections
            self.restart = self._restart

    async def make(self) -> Driver:
        return self._new(uuid.uuid4().hex)

    async def again(self, driver: Driver) -> Driver:
        return self._new(self._namespaces[driver])

    async def _drop_connections(self, consumer: Consumer) -> None:
        self._server.say("CLIENT KILL TYPE normal")

    async def _restart(self) -> None:
        await asyncio.to_thread(self._server.stop)
        await asyncio.to_thread(self._server.start)

    def _new(self, namespace: str) -> Driver:
        driver = RedisDriver(self._settings, DriverOptions(namespace=namespace))
        self._namespaces[driver] = namespace
        return driver


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer("--appendonly", "yes") as server:
        yield server


@pytest.fixture(scope="module")
def valkey() -> Iterator[RedisServer]:
    with ValkeyServer("--appendonly", "yes") as server:
        yield server


@pytest.fixture(scope="module")
def sentinel() -> Iterator[RedisSentinel]:
    with RedisServer() as master, RedisSentinel(master) as sentinel:
        yield sentinel


@pytest.fixture(scope="module")
def node() -> Iterator[RedisServer]:
    with redis_cluster() as nodes:
        yield nodes[0]


class TestSingle(DriverConformance):
    capabilities = plugin.CAPABILITIES

    @pytest.fixture
    def harness(self, redis: RedisServer) -> DriverHarness:
        return RedisHarness(redis, url=redis.url)


class TestValkey(DriverConformance):
    capabilities = plugin.CAPABILITIES

    @pytest.fixture
    def harness(self, valkey: RedisServer) -> DriverHarness:
        return RedisHarness(valkey, url=valkey.url)


class TestSentinel(DriverConformance):
    capabilities = plugin.CAPABILITIES

    @pytest.fixture
    def harness(self, sentinel: RedisSentinel) -> DriverHarness:
        return RedisHarness(url=sentinel.url)


class TestCluster(DriverConformance):
    capabilities = plugin.CAPABILITIES

    @pytest.fixture
    def harness(self, node: RedisServer) -> DriverHarness:
        return RedisHarness(url=node.url, cluster=True)
