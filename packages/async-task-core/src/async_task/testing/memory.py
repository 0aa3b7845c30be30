"""The memory driver on a clock moved by hand: a harness, and an example of one."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from async_task.drivers.memory import MemoryDriver, MemorySettings, unix_ms
from async_task.spi.driver import DriverOptions
from async_task.testing.harness import DriverHarness

if TYPE_CHECKING:
    from async_task.spi.driver import Driver


class MemoryHarness(DriverHarness):
    """Makes memory drivers that share one clock, which stands still unless advanced.

    Args:
        driver: The class to make, for variants of the memory driver.
    """

    glance_ms = 0
    manual_clock = True

    def __init__(self, driver: type[MemoryDriver] = MemoryDriver) -> None:
        self._driver = driver
        self._made: list[MemoryDriver] = []
        self._now_ms = unix_ms()

    async def make(self) -> Driver:
        """Return a driver on a store of its own."""
        return self._new(DriverOptions(namespace=uuid.uuid4().hex))

    async def again(self, driver: Driver) -> Driver:
        """Return a driver of the same namespace, and so on the same store."""
        assert isinstance(driver, MemoryDriver)
        return self._new(driver.options)

    async def advance(self, ms: int) -> None:
        """Move the clock, and let those who wait look at it."""
        self._now_ms += ms
        for driver in self._made:
            if driver.is_open:
                driver.store.wake()

    def _new(self, options: DriverOptions) -> MemoryDriver:
        driver = self._driver(MemorySettings(), options, now_ms=lambda: self._now_ms)
        self._made.append(driver)
        return driver
