"""What the MySQL driver declares; imports neither the driver nor `aiomysql`."""

from __future__ import annotations

from async_task.spi.capabilities import Capabilities, Delay, Facet
from async_task.spi.plugin import DriverInfo, hookimpl

CAPABILITIES = Capabilities(
    facets=frozenset(Facet),
    # One call is one transaction, and its rows stay locked until it ends: 1,000 messages take about
    # 45 ms, short enough for a busy server and for `op_timeout`.
    max_batch=1000,
    # A packet holds a body in hexadecimal; every server that is let in takes packets of 4 MiB. A
    # larger `max_allowed_packet` lets larger bodies in, up to 8 MiB.
    max_body=1 << 20,
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
"""What every server offers; opening one may raise `max_body`."""


@hookimpl
def async_task_drivers() -> list[DriverInfo]:
    """Declare the driver `mysql`."""
    return [
        DriverInfo(
            name="mysql",
            schemes=("mysql", "mariadb"),
            factory="async_task_mysql.driver:MysqlDriver",
            settings="async_task_mysql.settings:MysqlSettings",
            capabilities=CAPABILITIES,
            summary="Tables in MySQL 8.0 or MariaDB 10.6, or later.",
            spi_version=1,
        )
    ]
