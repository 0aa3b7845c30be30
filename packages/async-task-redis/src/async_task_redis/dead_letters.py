"""Rejected messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_task_redis.client import run_all, run_one
from async_task_redis.leases import dead_letter
from async_task_redis.scripts import PURGE_DEAD, REQUEUE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from async_task.spi.messages import DeadLetter

    from async_task_redis.store import Store

_BATCH = 1000
"""Most messages moved or deleted by one script, which keeps everybody else waiting."""


class RedisDeadLetters:
    """The `DeadLetters` facet."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def browse(
        self, queue: str, *, limit: int, after: bytes | None = None
    ) -> Sequence[DeadLetter]:
        """Read up to `limit` dead letters of a queue, in order of id; two round trips."""
        keys = self._store.keys[queue]
        least = b"-" if after is None else b"(" + after
        command = ("ZRANGEBYLEX", keys.dead, least, "+", "LIMIT", 0, limit)
        ids = await run_one(self._store.client, keys, command)
        return [letter for letter in await self.get(queue, ids) if letter is not None]

    async def get(self, queue: str, ids: Sequence[bytes]) -> Sequence[DeadLetter | None]:
        """Read dead letters by id, aligned with `ids`."""
        if not ids:
            return []
        keys = self._store.keys[queue]
        deaths, values = await run_all(
            self._store.client,
            [(keys, ("HMGET", keys.deaths, *ids)), (keys, ("HMGET", keys.body, *ids))],
        )
        return [
            None if death is None or value is None else dead_letter(queue, message, death, value)
            for message, death, value in zip(ids, deaths, values, strict=True)
        ]

    async def requeue(self, queue: str, states: Mapping[bytes, bytes]) -> int:
        """Move dead letters back to their queue, due now; returns how many."""
        keys = self._store.keys[queue]
        pairs = [part for pair in states.items() for part in pair]
        calls = [
            (keys, REQUEUE.call(keys.settling, pairs[at : at + 2 * _BATCH]))
            for at in range(0, len(pairs), 2 * _BATCH)
        ]
        return sum(await run_all(self._store.client, calls))

    async def purge(self, queue: str, ids: Sequence[bytes] | None = None) -> int:
        """Delete the dead letters named, or all of the queue; returns how many."""
        keys = self._store.keys[queue]
        if ids is None:
            return await self._store.repeat(keys, PURGE_DEAD.call(keys.settling, (_BATCH,)), _BATCH)
        calls = [
            (keys, PURGE_DEAD.call(keys.settling, ("", *ids[at : at + _BATCH])))
            for at in range(0, len(ids), _BATCH)
        ]
        return sum(await run_all(self._store.client, calls))
