"""What the SQLite driver declares; imports neither the driver nor `sqlite3`."""

from __future__ import annotations

from async_task.spi.capabilities import Capabilities, Delay, Facet
from async_task.spi.plugin import DriverInfo, hookimpl

CAPABILITIES = Capabilities(
    facets=frozenset(Facet),
    # One call is one transaction, and one transaction keeps every other process out of the file:
    # 1,000 messages hold it for about 10 ms.
    max_batch=1000,
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
"""What every file offers; opening one adds nothing."""


@hookimpl
def async_task_drivers() -> list[DriverInfo]:
    """Declare the driver `sqlite`."""
    return [
        DriverInfo(
            name="sqlite",
            schemes=("sqlite",),
            factory="async_task_sqlite.driver:SqliteDriver",
            settings="async_task_sqlite.settings:SqliteSettings",
            capabilities=CAPABILITIES,
            summary="One file on this host, shared by its processes; nothing to install.",
            spi_version=1,
        )
    ]
