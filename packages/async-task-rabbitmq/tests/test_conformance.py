from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest
from aio_pika import connect
from async_task.spi.driver import Consumer, Driver, DriverOptions
from async_task.testing.conformance import DriverConformance
from async_task.testing.harness import DriverHarness
from async_task_rabbitmq import plugin
from async_task_rabbitmq.consumer import RabbitmqConsumer
from async_task_rabbitmq.driver import RabbitmqDriver
from async_task_rabbitmq.settings import RabbitmqSettings


class RabbitmqHarness(DriverHarness):
    """Makes drivers on one server, each `make` with a namespace of its own."""

    tied = True

    def __init__(self, url: str) -> None:
        self._url = url
        self._namespaces: dict[Driver, str] = {}
        self._drivers: list[RabbitmqDriver] = []
        self.kill = self._kill

    async def make(self) -> Driver:
        return self._new(f"t{uuid.uuid4().hex[:12]}")

    async def again(self, driver: Driver) -> Driver:
        return self._new(self._namespaces[driver])

    async def aclose(self) -> None:
        """Delete the queues; the rungs of the delays are few, and everybody's."""
        connection = await connect(self._url)
        async with connection, connection.channel() as channel:
            for driver in self._drivers:
                for queue in driver._topology._queues:
                    for name in driver._names.all(queue):
                        await channel.queue_delete(name)

    async def _kill(self, consumer: Consumer) -> None:
        """RabbitMQ takes the messages back, however a connection ends."""
        assert isinstance(consumer, RabbitmqConsumer)
        await consumer._io.run(consumer._link.close())

    def _new(self, namespace: str) -> Driver:
        settings = RabbitmqSettings.make(url=self._url, exchange_name="test")
        driver = RabbitmqDriver(settings, DriverOptions(namespace=namespace), unit_ms=10)
        self._namespaces[driver] = namespace
        self._drivers.append(driver)
        return driver


class TestRabbitmq(DriverConformance):
    capabilities = plugin.CAPABILITIES

    @pytest.fixture
    async def harness(self, url: str) -> AsyncIterator[DriverHarness]:
        harness = RabbitmqHarness(url)
        yield harness
        await harness.aclose()
