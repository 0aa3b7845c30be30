"""The conformance suite for any installed driver, without code.

    pytest --pyargs async_task.testing.run --async-task-url redis://localhost

The driver is found through its entry point and the scheme of the URL. Each test works in a
namespace of its own and leaves it behind, so point it at a backend that may be thrown away.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from async_task.errors import ConfigurationError
from async_task.plugins.manager import plugins, resolve
from async_task.spi.driver import DriverOptions
from async_task.testing.conformance import DriverConformance
from async_task.testing.harness import DriverHarness

if TYPE_CHECKING:
    from async_task.spi.driver import Driver
    from async_task.spi.plugin import DriverInfo
    from async_task.spi.settings import DriverSettings


class UrlHarness(DriverHarness):
    """Makes the driver of a URL as an application would, on the real clock.

    Raises:
        ConfigurationError: No installed driver answers to the URL, or it cannot read it.
    """

    def __init__(self, url: str) -> None:
        self.info: DriverInfo = plugins().driver_for_scheme(urlsplit(url).scheme)
        settings: type[DriverSettings] = resolve(self.info.settings)
        self.tick_ms = max(self.tick_ms, self.info.capabilities.delay)
        self._settings = settings.make(**settings.from_url(url))
        self._namespaces: dict[int, str] = {}
        self.bare = self._fresh

    async def make(self) -> Driver:
        """Return a driver in a namespace of its own, its schema applied."""
        driver = await self._fresh()
        if driver.migrations is not None:
            await driver.migrations.apply()
        return driver

    async def again(self, driver: Driver) -> Driver:
        """Return a driver of the same settings and namespace."""
        return self._new(self._namespaces[id(driver)])

    async def _fresh(self) -> Driver:
        return self._new(uuid.uuid4().hex)

    def _new(self, namespace: str) -> Driver:
        options = DriverOptions(namespace=namespace, op_timeout_ms=self.op_timeout_ms)
        driver: Driver = resolve(self.info.factory)(self._settings, options)
        self._namespaces[id(driver)] = namespace
        return driver


class TestDriver(DriverConformance):
    """The driver that `--async-task-url` names."""

    @classmethod
    def configure(cls, config: pytest.Config) -> None:
        """Find the driver, and with it what it declares."""
        url: str | None = config.getoption("--async-task-url")
        if url is None:
            raise pytest.UsageError("say which driver: --async-task-url SCHEME://...")
        try:
            cls.capabilities = UrlHarness(url).info.capabilities
        except ConfigurationError as error:
            raise pytest.UsageError(str(error)) from error

    @pytest.fixture
    def harness(self, pytestconfig: pytest.Config) -> DriverHarness:
        """Return a harness for the URL."""
        url: str = pytestconfig.getoption("--async-task-url") or ""  # `configure` has seen to it
        return UrlHarness(url)
