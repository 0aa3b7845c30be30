"""Single messages and whole queues.

A message's queue is not part of its id, so what looks for messages asks every queue: one script
each, all in one round trip.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_task.spi.messages import MessageState

from async_task_redis.client import run_all
from async_task_redis.scripts import CANCEL, STATUS, WAKE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_task_redis.scripts import Script
    from async_task_redis.store import Store

_BATCH = 1000
"""Most ids of one script, which keeps everybody else waiting."""


class RedisControl:
    """The `Control` facet."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def queues(self) -> Sequence[str]:
        """List the queues that were provisioned or ever held a message, sorted."""
        return [keys.queue for keys in await self._store.queues()]

    async def status(self, ids: Sequence[bytes]) -> Sequence[MessageState | None]:
        """Say where messages are, aligned with `ids`."""
        return await self._ask(STATUS, ids)

    async def cancel(self, ids: Sequence[bytes]) -> Sequence[MessageState | None]:
        """Cancel messages; see `Control.cancel`. Atomic for each queue."""
        return await self._ask(CANCEL, ids)

    async def pause(self, queue: str) -> None:
        """Hand out nothing of this queue until it is resumed."""
        keys = self._store.keys
        await run_all(
            self._store.client,
            [
                (keys.elsewhere, ("SADD", keys.registry, queue)),
                (keys[queue], ("SET", keys[queue].paused, 1)),
            ],
        )

    async def resume(self, queue: str) -> None:
        """Undo `pause`."""
        keys = self._store.keys[queue]
        await run_all(
            self._store.client,
            [(keys, ("DEL", keys.paused)), (keys, WAKE.call((keys.wake,)))],
        )

    async def paused(self) -> Sequence[str]:
        """List the names of the paused queues, sorted."""
        queues = await self._store.queues()
        calls = [(keys, ("EXISTS", keys.paused)) for keys in queues]
        answers = await run_all(self._store.client, calls)
        return [keys.queue for keys, paused in zip(queues, answers, strict=True) if paused]

    async def _ask(self, script: Script, ids: Sequence[bytes]) -> list[MessageState | None]:
        states: list[MessageState | None] = [None] * len(ids)
        parts = range(0, len(ids), _BATCH)
        calls = [
            (keys, script.call(keys.settling, ids[at : at + _BATCH]))
            for keys in await self._store.queues()
            for at in parts
        ]
        replies = await run_all(self._store.client, calls)
        for number, reply in enumerate(replies):
            begin = parts[number % len(parts)]
            for at, state in enumerate(reply, begin):
                if state:
                    states[at] = MessageState(state.decode())
        return states
