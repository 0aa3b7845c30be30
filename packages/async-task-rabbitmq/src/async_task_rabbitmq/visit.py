"""One lease call, as the queues it looks into see it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from async_task.spi.reclaim import reclaim_delay_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from async_task.spi.messages import Lease

    from async_task_rabbitmq.tap import Received


class Visit:
    """What one lease call wants and has got. Belongs to the loop of the I/O thread.

    Args:
        names: Queues, most urgent first.
        limit: Most messages it takes.
        lease_id: What its leases are called.
        give_back: Called with a message that it does not take, and for how long it has to wait.

    Attributes:
        taken: What it has got.
        leases: What it has answered; `None` until then.
        woken: It waits for nothing more.
    """

    def __init__(
        self,
        queues: Sequence[str],
        limit: int,
        lease_id: bytes,
        give_back: Callable[[Received, int], None],
    ) -> None:
        self.queues = queues
        self.limit = limit
        self.lease_id = lease_id
        self.taken: list[Received] = []
        self._ids: set[bytes] = set()
        self.leases: list[Lease] | None = None
        self.abandoned = False
        self.woken = asyncio.Event()
        self._give_back = give_back

    def offer(self, received: Received) -> None:
        """Take a message that came, unless it is too many, too late, or not to run yet.

        Those that crashed together for a second time come back apart, each after a random time.
        """
        copy = received.copy
        if received.returned and copy.crashes > 1:
            wait_ms = max(copy.wait_ms, reclaim_delay_ms(copy.crashes))
        else:
            wait_ms = copy.wait_ms
        # `(id, lease_id)` names one lease, so that another copy has to wait.
        if wait_ms or self.over or len(self.taken) == self.limit or copy.id in self._ids:
            self._give_back(received, wait_ms)
            return
        self.taken.append(received)
        self._ids.add(copy.id)
        self.woken.set()

    @property
    def over(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.abandoned or self.leases is not None

    def abandon(self) -> None:
        """End it without an answer; what came goes back."""
        self.abandoned = True
        self.woken.set()
        for each in self.taken:
            self._give_back(each, 0)
        self.taken.clear()
