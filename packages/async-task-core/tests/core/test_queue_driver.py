"""The portable driver: making one, counting, and what a backend cannot do."""

from __future__ import annotations

import uuid

import pytest
from async_task.config import Config
from async_task.core.driver_factory import DriverFactory
from async_task.core.queue_driver import QueueDriver
from async_task.core.task import task
from async_task.drivers.memory import MemoryDriver, MemorySettings
from async_task.errors import ConfigurationError, UnknownDriverError, UnsupportedError
from async_task.spi.driver import BaseDriver, DriverOptions

pytestmark = pytest.mark.anyio


class Bare(BaseDriver):
    """A driver without any of the optional halves."""


@task
def f() -> None: ...


async def test_a_queue_is_counted_with_one_argument() -> None:
    driver = DriverFactory.create("memory", name=uuid.uuid4().hex)

    @task(driver=driver, name="counted")
    def counted() -> None: ...

    for _ in range(3):
        await counted.dispatch()
    await counted().delay(60).dispatch()
    assert await driver.get_queue_size("default") == 4
    assert await driver.get_queue_size("default", include_delayed=False) == 3
    assert await driver.get_queue_size("empty") == 0
    (stats,) = await driver.stats(["default"])
    assert (stats.ready, stats.delayed, stats.leased, stats.dead) == (3, 1, 0, 0)
    assert await driver.queues() == ["default"]
    assert await driver.purge("default") == 4
    assert await driver.get_queue_size("default", include_in_flight=True) == 0


@pytest.mark.parametrize("queue", ["", "no spaces", "a.b"])
async def test_a_bad_queue_name_is_refused(queue: str) -> None:
    driver = DriverFactory.create("memory")
    with pytest.raises(ConfigurationError, match="is not valid"):
        await driver.get_queue_size(queue)
    with pytest.raises(ConfigurationError, match="is not valid"):
        await driver.purge(queue)


async def test_connecting_and_disconnecting_are_idempotent() -> None:
    driver = DriverFactory.create("memory")

    def is_open() -> bool:
        assert isinstance(driver.driver, MemoryDriver)
        return driver.driver.is_open

    async with driver:
        await driver.connect()
        assert is_open()
    await driver.disconnect()
    assert not is_open()
    async with driver:
        assert is_open()


def test_the_factory_takes_settings_without_and_with_the_drivers_prefix() -> None:
    first = DriverFactory.create("memory", name="mine", namespace="apart", grace=1)
    second = DriverFactory.create("memory", memory_name="mine", namespace="apart", grace=1)
    assert first.config == second.config
    assert (first.name, first.config.memory_name, first.config.grace) == ("memory", "mine", 1.0)
    assert isinstance(first.driver, MemoryDriver)
    assert first.driver.options == DriverOptions(namespace="apart", op_timeout_ms=5000)


def test_the_factory_refuses_what_is_not_there() -> None:
    with pytest.raises(ConfigurationError, match="'memory_nam'; did you mean 'memory_name'"):
        DriverFactory.create("memory", nam="x")
    with pytest.raises(UnknownDriverError, match="no driver 'nothing'"):
        DriverFactory.create("nothing", url="x")
    with pytest.raises(UnknownDriverError, match="no driver 'nothing'"):
        DriverFactory.create_from_config(Config(driver="memory"), "nothing")


def test_the_factory_takes_the_configurations_choice_or_another() -> None:
    config = Config(url="memory://named", grace=1)
    assert DriverFactory.create_from_config(config).name == "memory"
    assert DriverFactory.create_from_config(config, "memory").config.grace == 1.0


def test_a_driver_may_have_a_lease_of_its_own_length() -> None:
    assert DriverFactory.create("memory").visibility_ms == 30_000
    assert DriverFactory.create("memory", visibility_timeout=7.5).visibility_ms == 7500
    own = DriverFactory.create("memory", visibility_timeout_seconds=3, visibility_timeout=60)
    assert own.visibility_ms == 3000


@pytest.mark.parametrize("seconds", [0, -5])
def test_a_lease_of_no_length_is_refused(seconds: int) -> None:
    with pytest.raises(ConfigurationError, match="memory_visibility_timeout_seconds must be"):
        DriverFactory.create("memory", visibility_timeout_seconds=seconds)


async def test_what_a_backend_cannot_do_is_said() -> None:
    driver = QueueDriver(Bare(), name="bare", config=Config(driver="memory"))  # type: ignore[arg-type]  # a driver that lacks most
    with pytest.raises(UnsupportedError, match="driver 'bare' keeps no dead letters") as caught:
        _ = driver.dead_letters
    assert (caught.value.capability, caught.value.driver) == ("dead_letters", "bare")
    with pytest.raises(UnsupportedError, match="driver 'bare' cannot list its queues; name them"):
        await driver.queues()


def test_a_driver_is_shown_without_its_settings() -> None:
    driver = QueueDriver(
        MemoryDriver(MemorySettings(), DriverOptions()), name="memory", config=Config()
    )
    assert repr(driver) == "<QueueDriver memory>"
