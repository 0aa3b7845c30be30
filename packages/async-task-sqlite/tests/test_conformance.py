from __future__ import annotations

import time
import uuid
from pathlib import Path

import pytest
from async_task.spi.driver import Driver, DriverOptions
from async_task.testing.conformance import DriverConformance
from async_task.testing.harness import DriverHarness
from async_task_sqlite import plugin
from async_task_sqlite.driver import SqliteDriver
from async_task_sqlite.mailboxes import Mailboxes
from async_task_sqlite.settings import SqliteSettings
from async_task_sqlite.wakeup import MESSAGES, RESULTS


class SqliteHarness(DriverHarness):
    """Makes drivers on one file, each `make` with tables of its own."""

    glance_ms = 0  # what is committed is seen at once
    manual_clock = True

    def __init__(self, directory: Path) -> None:
        self._path = str(directory / "queue.db")
        self._now_ms = time.time_ns() // 1_000_000
        self._mailboxes = Mailboxes(f"{self._path}-wake")
        self._namespaces: dict[Driver, str] = {}
        self.bare = self.make  # opening a driver makes its tables, `make` does not

    async def make(self) -> Driver:
        return self._new(uuid.uuid4().hex)

    async def again(self, driver: Driver) -> Driver:
        return self._new(self._namespaces[driver])

    async def advance(self, ms: int) -> None:
        """Move the clock, and let those who wait look at it."""
        self._now_ms += ms
        self._mailboxes.post(MESSAGES + RESULTS, but="")

    def _new(self, namespace: str) -> Driver:
        driver = SqliteDriver(
            SqliteSettings(path=self._path),
            DriverOptions(namespace=namespace),
            now_ms=lambda: self._now_ms,
        )
        self._namespaces[driver] = namespace
        return driver


class TestSqlite(DriverConformance):
    capabilities = plugin.CAPABILITIES

    @pytest.fixture
    def harness(self, tmp_path: Path) -> DriverHarness:
        return SqliteHarness(tmp_path)
