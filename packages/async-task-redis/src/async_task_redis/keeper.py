"""Renewing leases, from the heartbeat thread's own loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_task.spi.messages import Extension

from async_task_redis.client import run_all
from async_task_redis.leases import member_of
from async_task_redis.scripts import EXTEND

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_task.spi.messages import Lease

    from async_task_redis.client import Client
    from async_task_redis.keys import Keys, QueueKeys
    from async_task_redis.wire import Command


class RedisKeeper:
    """The `LeaseKeeper` of this driver, on a connection of its own."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    async def extend(self, leases: Sequence[Lease], visibility_ms: int) -> Sequence[Extension]:
        """Extend leases in one round trip; one script for each queue."""
        batches: dict[str, list[int]] = {}
        for position, lease in enumerate(leases):
            batches.setdefault(lease.queue, []).append(position)
        calls: list[tuple[QueueKeys, Command]] = []
        for queue, positions in batches.items():
            keys = self._keys[queue]
            members = [member_of(leases[at]) for at in positions]
            calls.append(
                (keys, EXTEND.call((keys.leased, keys.cancelled), (visibility_ms, *members)))
            )
        answers = [Extension.HELD] * len(leases)
        replies = await run_all(self._client, calls)
        for positions, (lost, cancelled) in zip(batches.values(), replies, strict=True):
            for at in lost:
                answers[positions[at]] = Extension.LOST
            for at in cancelled:
                answers[positions[at]] = Extension.CANCELLED
        return answers
