from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from async_task.drivers.memory import MemoryDriver, MemorySettings
from async_task.drivers.plugin import CAPABILITIES
from async_task.spi.driver import DriverOptions
from async_task.testing.conformance import DriverConformance
from async_task.testing.harness import DriverHarness
from async_task.testing.memory import MemoryHarness

if TYPE_CHECKING:
    from async_task.spi.driver import Driver


class RealClockHarness(DriverHarness):
    glance_ms = 0
    tick_ms = 50

    async def make(self) -> Driver:
        return MemoryDriver(MemorySettings(name=uuid.uuid4().hex), DriverOptions())

    async def again(self, driver: Driver) -> Driver:
        assert isinstance(driver, MemoryDriver)
        return MemoryDriver(driver.settings, driver.options)


class TestMemory(DriverConformance):
    capabilities = CAPABILITIES

    @pytest.fixture
    def harness(self) -> DriverHarness:
        return MemoryHarness()


class TestMemoryOnTheRealClock(DriverConformance):
    """The suite itself must hold where time passes by itself, as it does for every server."""

    capabilities = CAPABILITIES

    @pytest.fixture
    def harness(self) -> DriverHarness:
        return RealClockHarness()
