"""The leases of one consumer, by what core calls them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from async_task.spi.messages import Lease

if TYPE_CHECKING:
    from collections.abc import Callable

    from async_task.spi.errors import DriverError

    from async_task_rabbitmq.tap import Received

_ENDING_MS: Final = 1000
"""How often is looked whether what was being ended when its time was over has failed to end."""


@dataclass(slots=True)
class Hold:
    """One lease.

    Attributes:
        received: What is held.
        timer: What ends it when nobody extends it.
        replaced: A copy that goes on in its place was confirmed.
        ending: What ends it now, or has.
        outcome: What that came to: `True` for ended, `False` for stale, an error for neither.
    """

    received: Received
    timer: asyncio.TimerHandle
    replaced: bool = False
    ending: asyncio.Task[None] | None = None
    outcome: DriverError | bool = False


class Held:
    """All leases that are current as far as we know: a lease ends with its channel.

    RabbitMQ would let whoever is connected keep a message for ever. So a lease that was not
    extended in time ends here: whoever should have done so does not live, or takes it for lost.

    Args:
        give_back: Called with what was held under a lease whose time is over.
    """

    def __init__(self, give_back: Callable[[Received], None]) -> None:
        self._holds: dict[tuple[bytes, bytes], Hold] = {}
        self._give_back = give_back

    def begin(self, received: Received, lease_id: bytes, visibility_ms: int) -> Lease:
        """Hold a message; return what is handed out."""
        copy = received.copy
        key = copy.id, lease_id
        self._holds[key] = Hold(received, self._timer(key, visibility_ms))
        return Lease(
            copy.id,
            received.queue,
            copy.body,
            lease_id,
            copy.deliveries + 1,
            copy.crashes,
            copy.state,
            copy.priority,
            copy.expired,
        )

    def find(self, lease: Lease) -> Hold | None:
        """Return what a lease holds; `None` if it is not current."""
        hold = self._holds.get((lease.id, lease.lease_id))
        if hold is not None and hold.received.lost and hold.ending is None:
            self.end(lease)
            return None
        return hold

    def extend(self, lease: Lease, visibility_ms: int) -> bool:
        """Let a lease hold for so long from now; return whether it is current."""
        hold = self.find(lease)
        if hold is None:
            return False
        hold.timer.cancel()
        hold.timer = self._timer((lease.id, lease.lease_id), visibility_ms)
        return True

    def end(self, lease: Lease) -> None:
        """Forget a lease."""
        hold = self._holds.pop((lease.id, lease.lease_id), None)
        if hold is not None:
            hold.timer.cancel()

    def tidy(self) -> None:
        """Forget all leases that were lost."""
        for key, hold in [*self._holds.items()]:
            if hold.received.lost and (hold.ending is None or hold.ending.done()):
                hold.timer.cancel()
                del self._holds[key]

    def endings(self) -> set[asyncio.Task[None]]:
        """Return what ends leases now."""
        return {hold.ending for hold in self._holds.values() if hold.ending is not None}

    def _timer(self, key: tuple[bytes, bytes], visibility_ms: int) -> asyncio.TimerHandle:
        loop = asyncio.get_running_loop()
        return loop.call_later(visibility_ms / 1000, self._expire, key)

    def _expire(self, key: tuple[bytes, bytes]) -> None:
        hold = self._holds[key]
        if hold.ending is not None:  # what has begun to end goes on
            hold.timer = self._timer(key, _ENDING_MS)
            return
        del self._holds[key]
        self._give_back(hold.received)
