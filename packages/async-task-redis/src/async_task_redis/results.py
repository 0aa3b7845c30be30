"""Stored outcomes.

A result lies with its message's queue, so that it is stored in the same step that ends the
message, and whoever knows only the id asks every queue. Who waits subscribes to the ids.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from async_task_redis.client import run_all
from async_task_redis.wakeup import POLL_S

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from async_task.spi.messages import StoredResult

    from async_task_redis.keys import QueueKeys
    from async_task_redis.store import Store
    from async_task_redis.subscription import Subscription
    from async_task_redis.wire import Command


class RedisResults:
    """The `Results` facet.

    Args:
        store: Where they are.
        subscription: Tells when to look for one.
    """

    def __init__(self, store: Store, subscription: Subscription) -> None:
        self._store = store
        self._subscription = subscription

    async def put(self, results: Mapping[bytes, StoredResult]) -> None:
        """Store results; one that is there already is replaced."""
        keys = self._store.keys
        calls: list[tuple[QueueKeys, Command]] = []
        for message, result in results.items():
            place = keys.elsewhere.result(message)
            calls += (
                (keys.elsewhere, ("SET", place, result.body, "PX", max(1, result.ttl_ms))),
                (keys.elsewhere, ("PUBLISH", keys.channel(message), "")),
            )
        await run_all(self._store.client, calls)

    async def get(self, ids: Sequence[bytes]) -> Sequence[bytes | None]:
        """Read the bodies that are there, aligned with `ids`; two round trips."""
        if not ids:
            return []
        places = [self._store.keys.elsewhere, *await self._store.queues()]
        calls: list[tuple[QueueKeys, Command]] = [
            (keys, ("MGET", *(keys.result(message) for message in ids))) for keys in places
        ]
        found: list[bytes | None] = [None] * len(ids)
        for bodies in await run_all(self._store.client, calls):
            for at, body in enumerate(bodies):
                if body is not None:
                    found[at] = body
        return found

    async def wait(self, ids: Sequence[bytes], *, wait_ms: int) -> Mapping[bytes, bytes]:
        """Return as soon as at least one of `ids` has a result; see `Results.wait`."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + wait_ms / 1000
        listener = self._subscription.listen(self._store.keys.channel(message) for message in ids)
        try:
            while True:
                listener.heard.clear()
                bodies = await self.get(ids)
                found = {i: b for i, b in zip(ids, bodies, strict=True) if b is not None}
                left = ends - loop.time()
                if found or left <= 0:
                    return found
                await self._subscription.wait(listener, min(left, POLL_S))
        finally:
            self._subscription.forget(listener)
