"""Taking messages and ending leases."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Final

from async_task.spi.errors import DriverError, OutcomeUnknownError
from async_task.spi.reclaim import CAP_MS

from async_task_redis.client import run_all, run_one
from async_task_redis.leases import leased
from async_task_redis.scripts import LEASE, RECOVER
from async_task_redis.settling import Ending

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_task.spi.messages import Lease, Settlement

    from async_task_redis.client import Client
    from async_task_redis.keys import Keys, QueueKeys
    from async_task_redis.scripts import Argument
    from async_task_redis.wakeup import Wakeup
    from async_task_redis.wire import Command

RECLAIM_LIMIT: Final = 100
"""Most expired leases that one call returns to one queue; they take about a millisecond."""

MAX_LEASES: Final = 1000
"""Most messages of one call, as declared: Lua takes no more than a few thousand arguments."""


def leasing(
    queues: Sequence[QueueKeys],
    lease_id: bytes,
    limit: int,
    visibility_ms: int,
    *,
    most_reclaimed: int = RECLAIM_LIMIT,
) -> Command:
    """Return the call of `lease.lua`."""
    keys = [key for queue in queues for key in queue.leasing]
    seed = random.getrandbits(31)  # a script's own dice fall the same way every time
    arguments: tuple[Argument, ...] = (lease_id, limit, visibility_ms, most_reclaimed, CAP_MS, seed)
    return LEASE.call(keys, arguments)


class RedisConsumer:
    """The `Consumer` of this driver, with a connection for leases and settlements alone."""

    def __init__(self, client: Client, keys: Keys, queues: Sequence[str], wakeup: Wakeup) -> None:
        self._client = client
        self._keys = keys
        self._queues = [keys[queue] for queue in queues]
        self._wakeup = wakeup

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

        One round trip where there are messages (in a cluster, one for each queue until there are
        enough). Cost on the server: the messages taken, whatever the backlog.
        """
        loop = asyncio.get_running_loop()
        ends = loop.time() + wait_ms / 1000
        names = [self._keys[queue] for queue in queues]
        with self._wakeup.waiting(names) as waiter:
            while True:
                waiter.forget()
                leases, next_ms = await self._look(names, limit, lease_id, visibility_ms)
                left = ends - loop.time()
                if leases or left <= 0 or waiter.interrupted:
                    return leases
                await self._wakeup.wait(waiter, left if next_ms < 0 else min(left, next_ms / 1000))

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[int]:
        """End leases, those of one queue in one step; see `Consumer.settle`."""
        stale: list[int] = []
        batches: dict[str, Ending] = {}
        for position, settlement in enumerate(settlements):
            queue = settlement.lease.queue
            batch = batches.get(queue)
            if batch is None:
                batch = batches[queue] = Ending(self._keys, queue)
            if not batch.add(position, settlement):
                stale.append(position)  # a lease ends once, with the first that names it
        replies = await run_all(
            self._client, [(batch.keys, batch.call()) for batch in batches.values()]
        )
        for batch, reply in zip(batches.values(), replies, strict=True):
            if reply:
                positions = batch.positions
                stale += [positions[at] for at in reply]
        return sorted(stale)

    async def recover(self, lease_id: bytes) -> Sequence[Lease]:
        """Return what a `lease` call took and still holds. O(leases held by all)."""
        found: list[Lease] = []
        for group in self._client.groups(self._queues):
            keys = [key for queue in group for key in queue.leasing]
            reply = await run_one(self._client, group[0], RECOVER.call(keys, (lease_id,)))
            found += leased(reply, group, lease_id)
        return found

    def interrupt(self) -> None:
        """Make the `lease` calls that wait now return what they have."""
        self._wakeup.interrupt()

    async def _look(
        self, queues: Sequence[QueueKeys], limit: int, lease_id: bytes, visibility_ms: int
    ) -> tuple[list[Lease], int]:
        """Take what is ready.

        Returns:
            The leases, and in how many milliseconds time alone may bring some, -1 for never.
        """
        leases: list[Lease] = []
        soonest = -1
        for group in self._client.groups(queues):
            wanted = min(limit - len(leases), MAX_LEASES)
            call = leasing(group, lease_id, wanted, visibility_ms)
            try:
                reply = await run_one(self._client, group[0], call)
            except OutcomeUnknownError:
                raise  # `recover` finds these too
            except DriverError:
                if leases:  # of other nodes
                    return leases, -1
                raise
            leases += leased(reply, group, lease_id)
            if len(leases) >= min(limit, MAX_LEASES):
                break
            if reply[1] >= 0:
                soonest = reply[1] if soonest < 0 else min(soonest, reply[1])
        return leases, soonest
