"""What was handed out and is not settled: shared by consumers and the keeper's thread."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from async_task.spi.messages import Lease

if TYPE_CHECKING:
    from async_task_sqs.receiving import Received

_KEPT_S: Final = 60.0
"""How long a lease that nobody settled is remembered after its end."""


@dataclass(slots=True, eq=False)
class Hold:
    """One lease.

    Attributes:
        received: The copy, its receipt and its end, which extensions move.
        replaced: The copy that gives it back, or its dead letter, is sent already; what is left
            is to delete this one.
    """

    received: Received
    replaced: bool = False

    @property
    def lapsed(self) -> bool:
        """Whether its time is over: somebody else may have it."""
        return time.monotonic() >= self.received.until


class Held:
    """The leases of one driver, by message id and lease id.

    Its methods are single dictionary operations: the keeper's thread may read meanwhile.
    """

    def __init__(self) -> None:
        self._holds: dict[tuple[bytes, bytes], Hold] = {}

    def begin(self, received: Received, lease_id: bytes) -> Lease:
        """Note a lease and return it."""
        copy = received.copy
        self._holds[copy.id, lease_id] = Hold(received)
        return Lease(
            copy.id,
            received.queue,
            copy.body,
            lease_id,
            received.deliveries,
            received.crashes,
            copy.state,
            expired=received.expired,
        )

    def find(self, lease: Lease) -> Hold | None:
        """Return a lease that is not settled yet, as far as this process knows."""
        return self._holds.get((lease.id, lease.lease_id))

    def end(self, lease: Lease) -> None:
        """Forget a lease; again is harmless."""
        self._holds.pop((lease.id, lease.lease_id), None)

    def tidy(self) -> None:
        """Forget leases that ended long ago and that nobody settled."""
        before = time.monotonic() - _KEPT_S
        for key, hold in [*self._holds.items()]:
            if hold.received.until < before:
                self._holds.pop(key, None)
