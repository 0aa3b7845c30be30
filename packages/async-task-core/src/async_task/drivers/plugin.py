"""Declares the memory driver; imports nothing but the interface."""

from __future__ import annotations

from async_task.spi.capabilities import Capabilities, Delay, Facet
from async_task.spi.plugin import DriverInfo, hookimpl

CAPABILITIES = Capabilities(
    facets=frozenset({Facet.DEAD_LETTERS, Facet.RESULTS, Facet.CONTROL}),
    priorities=10,
    delay=Delay.MILLISECONDS,
    fence=True,
    atomic_settle=True,
    idempotent_enqueue=True,
    recoverable_lease=True,
    ordered=True,
    purges_delayed=True,
    dead_letters_by_id=True,
)
"""What the memory driver offers, before and after `open` alike."""


@hookimpl
def async_task_drivers() -> list[DriverInfo]:
    """Declare the driver `memory`."""
    return [
        DriverInfo(
            name="memory",
            schemes=("memory",),
            factory="async_task.drivers.memory:MemoryDriver",
            settings="async_task.drivers.memory:MemorySettings",
            capabilities=CAPABILITIES,
            summary="Inside one process, for tests and trying out; forgets all when it ends.",
            spi_version=1,
        )
    ]
