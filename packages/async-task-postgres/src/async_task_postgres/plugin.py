"""What the PostgreSQL driver declares; imports neither the driver nor `asyncpg`."""

from __future__ import annotations

from async_task.spi.capabilities import Capabilities, Delay, Facet
from async_task.spi.plugin import DriverInfo, hookimpl

CAPABILITIES = Capabilities(
    facets=frozenset(Facet),
    # One call is one statement, and its rows stay locked until it ends: 1,000 messages take about
    # 10 ms, short enough for a busy server and for `op_timeout`.
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
"""What every server offers; opening one adds nothing."""


@hookimpl
def async_task_drivers() -> list[DriverInfo]:
    """Declare the driver `postgres`."""
    return [
        DriverInfo(
            name="postgres",
            schemes=("postgresql", "postgres"),
            factory="async_task_postgres.driver:PostgresDriver",
            settings="async_task_postgres.settings:PostgresSettings",
            capabilities=CAPABILITIES,
            summary="Tables in PostgreSQL 13 or later, directly or through PgBouncer.",
            spi_version=1,
        )
    ]
