"""What a worker holds, and the one timer that watches over all their deadlines."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from async_task.core.clock import boottime
from async_task.runtime.attempt import Attempt, Hold, Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

STALE_S: Final = 1.0
"""How long a leased task may wait for a free slot before it goes back for others to take."""


class Table:
    """Leases from taking to settling: waiting for a slot, running, or being settled.

    Args:
        end: Called with an attempt that is over its time or has lost its lease, and which of them.
        put_back: Called with an attempt that has waited for a slot for too long.
    """

    def __init__(
        self, end: Callable[[Hold, Stop], None], put_back: Callable[[Attempt], None]
    ) -> None:
        self.held: set[Hold] = set()
        self.waiting: deque[Attempt] = deque()
        self.running: set[Attempt] = set()
        self._end = end
        self._put_back = put_back
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")

    def lease(self, attempts: Sequence[Attempt]) -> None:
        """Take in attempts of one lease call, to wait for slots."""
        if not attempts:
            return
        stale_at = boottime() + STALE_S
        for attempt in attempts:
            attempt.stale_at = stale_at
        self.held.update(attempts)
        self.waiting.extend(attempts)
        self.watch(min(attempts[0].deadline, stale_at))

    def watch(self, at: float) -> None:
        """Make sure the deadlines are looked at no later than `at`, on the boot-time clock."""
        if at < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = at
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, at - boottime()), self._look)

    def close(self) -> None:
        """Stop watching."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_at = float("-inf")  # later calls of watch() do nothing

    def _look(self) -> None:
        # A scan of what is in flight, at the earliest deadline: cheaper than a timer or a heap
        # entry per task, since most end long before (prototype: below noise at 1,000 in flight).
        self._timer, self._timer_at = None, float("inf")
        now = boottime()
        following = float("inf")
        for hold in list(self.held):
            if hold.stop is not Stop.LEASE_LOST:
                if now >= hold.deadline:
                    self._end(hold, Stop.LEASE_LOST)
                    continue
                following = min(following, hold.deadline)
            if isinstance(hold, Attempt) and hold.timeout_at is not None and hold.stop is None:
                if now >= hold.timeout_at:
                    self._end(hold, Stop.TIMEOUT)
                else:
                    following = min(following, hold.timeout_at)
        for attempt in list(self.waiting):
            if now >= attempt.stale_at:
                self._put_back(attempt)
            else:
                following = min(following, attempt.stale_at)
        if following < float("inf"):
            self.watch(following)
