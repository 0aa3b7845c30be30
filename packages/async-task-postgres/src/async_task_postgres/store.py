"""What the parts of one open driver share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from async_task_postgres.connections import Connections
    from async_task_postgres.queries import Queries
    from async_task_postgres.wakeup import Wakeup


@dataclass(frozen=True, slots=True)
class Store:
    """One namespace of one database.

    Attributes:
        connections: Where statements run.
        queries: The statements on the namespace's tables.
        wakeup: How waiters and those they wait for find each other.
    """

    connections: Connections
    queries: Queries
    wakeup: Wakeup
