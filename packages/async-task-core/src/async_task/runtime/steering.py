"""Following what `control=` says where the backend of the tasks has no control of its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from async_task.errors import DriverError
from async_task.runtime.attempt import Stop
from async_task.runtime.outage import Outage

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from async_task.core.elsewhere import ControlElsewhere
    from async_task.runtime.attempt import Hold
    from async_task.spi.messages import Lease

LOOK_S: Final = 1.0
"""How soon a worker knows; sooner where a third of the lease is shorter, which is the promise."""


class Steering:
    """Looks which queues are paused and which tasks cancelled.

    A store that does not answer keeps no worker from working: what was paused stays so, and who is
    cancelled is learnt later. Only at the start it is waited for.

    Args:
        control: What is asked.
        held: The leases the worker holds.
        visibility_ms: How long a lease holds.
        end: Called with a lease whose task is cancelled.
        changed: Called when something is known anew.
    """

    def __init__(
        self,
        control: ControlElsewhere,
        held: Collection[Hold],
        visibility_ms: int,
        end: Callable[[Hold, Stop], None],
        changed: Callable[[], None],
    ) -> None:
        self._control = control
        self._held = held
        self._interval_s = min(LOOK_S, visibility_ms / 3000)
        self._end = end
        self._changed = changed
        self._paused: frozenset[str] | None = None
        self._outage = Outage("looking what is paused or cancelled")

    @property
    def known(self) -> bool:
        """Whether it is known what is paused."""
        return self._paused is not None

    def unpaused(self, queues: Sequence[str]) -> Sequence[str]:
        """Return those that are not paused, in the same order."""
        return [queue for queue in queues if queue not in (self._paused or ())]

    async def cancelled(self, leases: Sequence[Lease]) -> set[bytes]:
        """Return the ids of those whose tasks were cancelled, as far as that can be known now."""
        if not leases or self._outage.lasting:
            return set()
        try:
            return await self._control.cancelled([lease.id for lease in leases])
        except DriverError as exc:
            self._outage.failed(exc)
            return set()

    async def follow(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            pause_s = self._interval_s
            try:
                await self._look()
            except DriverError as exc:
                pause_s = max(pause_s, self._outage.failed(exc))
            else:
                self._outage.recovered()
            await asyncio.sleep(pause_s)

    async def _look(self) -> None:
        paused = frozenset(await self._control.paused())
        if paused != self._paused:
            self._paused = paused
            self._changed()
        if holds := [*self._held]:
            cancelled = await self._control.cancelled([hold.lease.id for hold in holds])
            for hold in holds:
                if hold.lease.id in cancelled:
                    self._end(hold, Stop.CANCELLED)
