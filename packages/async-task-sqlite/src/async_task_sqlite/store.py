"""What the parts of one driver share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from async_task_sqlite.connection import Connection
    from async_task_sqlite.queries import Queries
    from async_task_sqlite.wakeup import Wakeup


@dataclass(frozen=True, slots=True)
class Store:
    """One namespace of one file.

    Attributes:
        connection: Where transactions run.
        queries: The statements on the namespace's tables.
        wakeup: How waiters and committers find each other.
        now_ms: The store's clock, Unix milliseconds; called in the connection's thread as well.
    """

    connection: Connection
    queries: Queries
    wakeup: Wakeup
    now_ms: Callable[[], int]
