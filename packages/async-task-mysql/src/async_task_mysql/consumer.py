"""Taking messages and ending leases."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Final

from async_task.spi.errors import DriverError, MessageTooLargeError, OutcomeUnknownError
from async_task.spi.messages import Ack, Lease, Reject

from async_task_mysql import settlements as ending
from async_task_mysql.plugin import CAPABILITIES
from async_task_mysql.template import packets
from async_task_mysql.wakeup import MESSAGES, RESULTS, Pauses

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_task.spi.messages import Settlement

    from async_task_mysql.client import Outcome
    from async_task_mysql.connections import Connections
    from async_task_mysql.store import Store

RECLAIM_LIMIT: Final = 1000
"""Most expired leases reclaimed by one call, in one short transaction."""

_CONTENDED_S: Final = 0.02
"""How long a lease waits for what is due and was not handed out: somebody else is taking it."""

_LEVELS: Final = range(CAPABILITIES.priorities - 1, -1, -1)


class MysqlConsumer:
    """The `Consumer` of this driver.

    Args:
        leasing: The connection to lease through.
        settling: The connection to settle through.
        store: The namespace.
        max_packet: Largest packet to send.
    """

    def __init__(
        self, leasing: Connections, settling: Connections, store: Store, max_packet: int
    ) -> None:
        self._leasing = leasing
        self._settling = settling
        self._queries = store.queries
        self._wakeup = store.wakeup
        self._max_packet = max_packet
        self._pauses = Pauses()
        self._waiting: dict[asyncio.Event, bool] = {}

    async def lease(
        self,
        queues: Sequence[str],
        limit: int,
        *,
        wait_ms: int,
        lease_id: bytes,
        visibility_ms: int,
    ) -> Sequence[Lease]:
        """Hand out up to `limit` messages; see `Consumer.lease`.

        One round trip when something is ready. Cost on the server: a seek per queue and priority,
        and the messages taken, whatever the backlog.
        """
        queues = tuple(dict.fromkeys(queues))
        ends = asyncio.get_running_loop().time() + wait_ms / 1000
        take = self._queries.take(
            arms=self._queries.take_arms(queues, _LEVELS, limit),
            limit=limit,
            lease_id=lease_id,
            visibility=visibility_ms * 1000,
        )
        look = self._queries.look(arms=self._queries.look_arms(queues, _LEVELS))
        with self._wakeup.watch(MESSAGES) as came:
            self._waiting[came] = False
            try:
                while True:
                    came.clear()
                    *_, taken = await self._leasing.write(take)
                    if taken.rows:
                        self._pauses.reset()
                        return _leases(taken, lease_id, queues)
                    if not await self._wait(look, came, ends):
                        return ()
            finally:
                del self._waiting[came]

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[int]:
        """End leases in one transaction; see `Consumer.settle`. O(log n) for each.

        What does not fit into a packet goes in several, each a transaction and a round trip.
        """
        if not settlements:
            return ()
        order = ending.order(settlements)
        if all(map(ending.is_plain, settlements)):
            script = self._queries.ack
            items = ending.keys(settlements[i].lease for i in order)
        else:
            script = self._queries.settle
            items = [ending.item(settlements[i]) for i in order]
        if max(map(len, items)) > self._max_packet:
            raise MessageTooLargeError(
                "a result is larger than half of the server's max_allowed_packet "
                f"({self._max_packet >> 1} bytes); raise that, or return less"
            )
        current: set[int] = set()
        begin = 0
        for packet in packets(items, self._max_packet):
            try:
                outcomes = await self._settling.write(script(items=f"[{','.join(packet)}]"))
            except DriverError as error:
                if begin == 0:
                    raise
                raise OutcomeUnknownError(f"some leases were ended, then: {error}") from error
            places: list[int] = json.loads(outcomes[1].rows[0][0] or "[]")
            current.update(order[begin + place - 1] for place in places)
            begin += len(packet)
        self._announce(settlements)
        if len(current) == len(settlements):
            return ()
        return [i for i in range(len(settlements)) if i not in current]

    async def recover(self, lease_id: bytes) -> Sequence[Lease]:
        """Return what a `lease` call took and still holds. O(leases held by all)."""
        [_, held] = await self._settling.read(self._queries.recover(lease_id=lease_id))
        return _leases(held, lease_id, ())

    def interrupt(self) -> None:
        """Make the `lease` calls that wait now return what they have."""
        for came in self._waiting:
            self._waiting[came] = True
            came.set()

    async def _wait(self, look: str, came: asyncio.Event, ends: float) -> bool:
        """Wait until there may be something to take; tell whether that was in time."""
        loop = asyncio.get_running_loop()
        tried = True
        while True:
            [_, next_] = await self._leasing.read(look)
            [(due_us, lease_ends_us)] = next_.rows
            if lease_ends_us is not None and lease_ends_us <= 0:
                if await self._reclaim():
                    return True
                lease_ends_us = None  # its own task's transaction has it
            if due_us is not None and due_us <= 0 and not tried:
                return True
            left_s = ends - loop.time()
            if left_s <= 0 or self._waiting[came]:
                return False
            idle_us = min((us for us in (due_us, lease_ends_us) if us is not None), default=None)
            if idle_us is not None:
                left_s = min(left_s, idle_us / 1e6 if idle_us > 0 else _CONTENDED_S)
            await self._pauses.pause(came, left_s)
            if came.is_set():
                return True
            tried = False

    async def _reclaim(self) -> bool:
        """Reclaim expired leases; tell whether there were any."""
        *_, reclaimed = await self._leasing.write(self._queries.reclaim(limit=RECLAIM_LIMIT))
        return bool(reclaimed.count)

    def _announce(self, settlements: Sequence[Settlement]) -> None:
        if not all(isinstance(s, Ack | Reject) for s in settlements):
            self._wakeup.announce(MESSAGES)
        if any(isinstance(s, Ack | Reject) and s.result is not None for s in settlements):
            self._wakeup.announce(RESULTS)


def _leases(taken: Outcome, lease_id: bytes, queues: Sequence[str]) -> list[Lease]:
    """Return leases in the order in which they are handed out."""
    rank = {queue: i for i, queue in enumerate(queues)}
    rows = sorted(taken.rows, key=lambda row: (rank.get(row[1], 0), -row[6], row[8]))
    return [
        Lease(id_, queue, body, lease_id, deliveries, crashes, state, priority, bool(expired))
        for id_, queue, body, deliveries, crashes, state, priority, expired, _ in rows
    ]
