"""What a worker was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from async_task.runtime.order import StrictOrder, WeightedOrder

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOptions:
    """What a worker was asked for; see `Worker`."""

    queues: tuple[str, ...]
    weights: Mapping[str, int] | None
    concurrency: int
    max_tasks: int | None
    stop_when_empty: bool
    grace_s: float
    visibility_ms: int
    op_timeout_s: float

    def order(self) -> StrictOrder | WeightedOrder:
        """Return the order in which to look at the queues."""
        return StrictOrder(self.queues) if self.weights is None else WeightedOrder(self.weights)

    @property
    def ahead(self) -> int:
        """Most leases beyond the free slots.

        A quarter of the concurrency reaches the ceiling of 10 ms tasks, none misses it by a tenth,
        all of it is slower again (prototype, Redis and PostgreSQL).
        """
        return self.concurrency // 4
