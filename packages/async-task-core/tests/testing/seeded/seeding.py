"""What seeded bugs are made of: variants of the memory driver, one rule broken in each.

A class here is a driver with one bug and the names of the conformance tests that must catch it.
They stand as deviations, so such a test has to fail; all other tests are left out, except one
that shows that the variant works at all.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import Any, ClassVar

import pytest
from async_task.drivers import memory
from async_task.drivers.memory import MemoryConsumer, MemoryDriver, MemoryKeeper
from async_task.drivers.memory_facets import MemoryControl, MemoryDeadLetters, MemoryResults
from async_task.drivers.memory_store import MemoryStore
from async_task.drivers.plugin import CAPABILITIES
from async_task.testing.conformance import DriverConformance
from async_task.testing.memory import MemoryHarness

ALIVE = "test_an_empty_body_is_a_body"


class SeededHarness(MemoryHarness):
    patience_ms = 50
    op_timeout_ms = 0


class SeededDriver(MemoryDriver):
    bug: ClassVar[Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.control = self.bug.Control(self)
        self.dead_letters = self.bug.DeadLetters(self)
        self.results = self.bug.Results(self)

    @property
    def capabilities(self):
        return self.bug.capabilities

    async def open(self) -> None:
        store = self.bug.Store(self._now_ms)
        self._store = memory._STORES.setdefault(self._key, store)

    @asynccontextmanager
    async def consumer(self, options):
        yield self.bug.Consumer(self.store)

    @asynccontextmanager
    async def keeper(self):
        yield self.bug.Keeper(self.store)


class Seeded(DriverConformance):
    capabilities = CAPABILITIES
    caught_by: ClassVar[tuple[str, ...]] = ()
    Driver = SeededDriver
    Store = MemoryStore
    Consumer = MemoryConsumer
    Keeper = MemoryKeeper
    Control = MemoryControl
    DeadLetters = MemoryDeadLetters
    Results = MemoryResults

    def __init_subclass__(cls) -> None:
        cls.deviations = dict.fromkeys(cls.caught_by, "seeded")
        super().__init_subclass__()

    @pytest.fixture
    def harness(self):
        bug = type(self)
        return SeededHarness(type("Driver", (bug.Driver,), {"bug": bug}))


def pytest_pycollect_makeitem(collector: Any, name: str, obj: object) -> list[Any] | None:
    """Collect nothing but the tests that matter to a bug."""
    if obj is Seeded:
        return []
    bug = getattr(collector, "cls", None)
    if bug is None:
        return None
    wanted = {caught.partition("[")[0] for caught in (*bug.deviations, ALIVE)}
    return None if name in wanted else []
