"""Taking messages and ending leases."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING

from async_task.spi.messages import Lease
from asyncpg.pgproto.pgproto import UUID

from async_task_postgres import settlements as ending
from async_task_postgres.plugin import CAPABILITIES
from async_task_postgres.wakeup import MESSAGES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_task.spi.messages import Settlement

    from async_task_postgres.connections import Connections, Rows
    from async_task_postgres.queries import Queries
    from async_task_postgres.wakeup import Wakeup

RECLAIM_LIMIT = 1000
"""Most expired leases reclaimed by one call: about 20 ms of the server's time."""

_POLL_S = (0.75, 1.25)
"""How long a waiting lease sleeps at most before it looks again."""

_LEAST_SLEEP_S = 0.02
"""How long it sleeps at least: what is due and was not handed out, somebody else is taking."""

_LEVELS = range(CAPABILITIES.priorities - 1, -1, -1)


class PostgresConsumer:
    """The `Consumer` of this driver.

    Args:
        leasing: Connections to lease through.
        settling: Connections to settle through.
        queries: The statements.
        wakeup: Who says that something came.
    """

    def __init__(
        self, leasing: Connections, settling: Connections, queries: Queries, wakeup: Wakeup
    ) -> None:
        self._leasing = leasing
        self._settling = settling
        self._queries = queries
        self._wakeup = wakeup
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
        loop = asyncio.get_running_loop()
        ends = loop.time() + wait_ms / 1000
        levels = [queue for queue in queues for _ in _LEVELS], [*_LEVELS] * len(queues)
        fence = UUID(lease_id)
        with self._wakeup.watch(MESSAGES) as came:
            self._waiting[came] = False
            try:
                while True:
                    came.clear()
                    rows = await self._leasing.fetch(
                        self._queries.lease, *levels, limit, fence, visibility_ms
                    )
                    if rows:
                        return _leases(rows, lease_id)
                    if await self._reclaim():
                        continue
                    left = ends - loop.time()
                    if left <= 0 or self._waiting[came]:
                        return ()
                    await self._sleep(came, min(left, await self._idle_s(levels)))
            finally:
                del self._waiting[came]

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[int]:
        """End leases in one statement; see `Consumer.settle`. O(log n) for each."""
        if not settlements:
            return ()
        order = ending.order(settlements)
        ordered = [settlements[i] for i in order]
        if ending.all_plain_acks(ordered):
            keys = ending.keys([s.lease for s in ordered])
            rows = await self._settling.fetch(self._queries.ack, *keys)
        else:
            rows = await self._settling.fetch(self._queries.settle, *ending.columns(ordered))
            self._wakeup.announce(ending.wakes(settlements))
        if len(rows) == len(settlements):
            return ()
        current: set[int] = {order[place - 1] for (place,) in rows}
        return [i for i in range(len(settlements)) if i not in current]

    async def recover(self, lease_id: bytes) -> Sequence[Lease]:
        """Return what a `lease` call took and still holds. O(leases held by all)."""
        rows = await self._settling.fetch(self._queries.recover, UUID(lease_id), writes=False)
        return _leases(rows, lease_id)

    def interrupt(self) -> None:
        """Make the `lease` calls that wait now return what they have."""
        for came in self._waiting:
            self._waiting[came] = True
            came.set()

    async def _reclaim(self) -> bool:
        """Reclaim expired leases; tell whether there were any."""
        # That it may have happened unheard is no news to who leases.
        [(count,)] = await self._leasing.fetch(self._queries.reclaim, RECLAIM_LIMIT, writes=False)
        return bool(count)

    async def _idle_s(self, levels: tuple[list[str], list[int]]) -> float:
        """Return how long there is nothing to do."""
        [(due_ms,)] = await self._leasing.fetch(self._queries.next_due, *levels, writes=False)
        poll_s = random.uniform(*_POLL_S)  # noqa: S311 - jitter
        return poll_s if due_ms is None else min(poll_s, max(_LEAST_SLEEP_S, due_ms / 1000))

    async def _sleep(self, came: asyncio.Event, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await came.wait()


def _leases(rows: Rows, lease_id: bytes) -> list[Lease]:
    return [
        Lease(id_.bytes, queue, body, lease_id, deliveries, crashes, state, priority, expired)
        for id_, queue, body, deliveries, crashes, state, priority, expired in rows
    ]
