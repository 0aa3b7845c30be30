"""Sends settlements."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from async_task.runtime.outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from async_task.runtime.attempt import Hold
    from async_task.runtime.outbox import Item
    from async_task.spi.driver import Consumer

log = logging.getLogger("async_task.worker")


class Settler(Outbox):
    """Settles leases.

    Args:
        consumer: What settles.
        max_batch: Most settlements in one call.
        on_settled: Called with leases about which there is nothing left to do.
    """

    def __init__(
        self,
        consumer: Consumer,
        *,
        max_batch: int | None,
        on_settled: Callable[[Sequence[Hold]], None],
    ) -> None:
        super().__init__(
            "settling tasks", "cannot be settled and will run again", max_batch, on_settled
        )
        self._consumer = consumer
        self._on_settled = on_settled

    async def _call(self, batch: list[Item], *, repeated: bool) -> None:
        stale = await self._consumer.settle([settlement for _, settlement in batch])
        for position in () if repeated else stale:
            # After a repeat stale is normal: it was done the first time.
            log.warning("%r was no longer ours: its outcome is discarded", batch[position][0])

    def _sent(self, batch: list[Item]) -> None:
        self._on_settled([hold for hold, _ in batch])
