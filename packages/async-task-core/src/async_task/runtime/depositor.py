"""Stores results where the backend of the tasks keeps none."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from async_task.runtime.outbox import Outbox
from async_task.spi.messages import Ack, Reject

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from async_task.runtime.attempt import Hold
    from async_task.runtime.outbox import Item
    from async_task.runtime.settler import Settler
    from async_task.spi.facets import Results
    from async_task.spi.messages import Settlement, StoredResult


class Depositor(Outbox):
    """Stores results, each before its task is settled, while the lease keeps others away from it.

    What has no result is settled at once. A result that is refused for good is lost, and its task
    done all the same: running it again would not help.

    Args:
        results: Where they are kept.
        settler: What settles the tasks then.
        on_lost: Called with what could not be stored before its lease ended.
    """

    def __init__(
        self, results: Results, settler: Settler, *, on_lost: Callable[[Sequence[Hold]], None]
    ) -> None:
        super().__init__("storing results", "its result cannot be kept", None, on_lost)
        self._results = results
        self._settler = settler

    @property
    def failing(self) -> bool:
        """Whether results or settlements wait for a call that fails."""
        return super().failing or self._settler.failing

    def add(self, hold: Hold, settlement: Settlement) -> None:
        """Store the result, if there is one, then settle."""
        if _result(settlement) is None:
            self._settler.add(hold, settlement)
        else:
            super().add(hold, settlement)

    async def drain(self, timeout_s: float) -> None:
        """Wait until everything added is stored, then settled, for at most `timeout_s` each."""
        await super().drain(timeout_s)
        await self._settler.drain(timeout_s)

    async def _call(self, batch: list[Item], *, repeated: bool) -> None:
        found = ((hold.lease.id, _result(settlement)) for hold, settlement in batch)
        await self._results.put({i: result for i, result in found if result is not None})

    def _sent(self, batch: list[Item]) -> None:
        for hold, settlement in batch:
            if isinstance(settlement, Ack | Reject):
                self._settler.add(hold, replace(settlement, result=None))
            else:
                self._settler.add(hold, settlement)


def _result(settlement: Settlement) -> StoredResult | None:
    return settlement.result if isinstance(settlement, Ack | Reject) else None
