"""The leases of one consumer, by what core calls them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from async_task.spi.messages import Lease

if TYPE_CHECKING:
    import asyncio

    from async_task.spi.errors import DriverError

    from async_task_rabbitmq.tap import Received


@dataclass(slots=True)
class Hold:
    """One lease.

    Attributes:
        received: What is held.
        replaced: A copy that goes on in its place was confirmed.
        ending: What ends it now, or has.
        outcome: What that came to: `True` for ended, `False` for stale, an error for neither.
    """

    received: Received
    replaced: bool = False
    ending: asyncio.Task[None] | None = None
    outcome: DriverError | bool = False


class Held:
    """All leases that are current as far as we know: a lease ends with its channel."""

    def __init__(self) -> None:
        self._holds: dict[tuple[bytes, bytes], Hold] = {}

    def begin(self, received: Received, lease_id: bytes) -> Lease:
        """Hold a message; return what is handed out."""
        copy = received.copy
        self._holds[copy.id, lease_id] = Hold(received)
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

    def end(self, lease: Lease) -> None:
        """Forget a lease."""
        self._holds.pop((lease.id, lease.lease_id), None)

    def tidy(self) -> None:
        """Forget all leases that were lost."""
        for key, hold in [*self._holds.items()]:
            if hold.received.lost and (hold.ending is None or hold.ending.done()):
                del self._holds[key]

    def endings(self) -> set[asyncio.Task[None]]:
        """Return what ends leases now."""
        return {hold.ending for hold in self._holds.values() if hold.ending is not None}
