"""Looking at single messages and steering whole queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_task.spi.messages import MessageState
from asyncpg.pgproto.pgproto import UUID

from async_task_postgres.wakeup import MESSAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from async_task_postgres.store import Store


class PostgresControl:
    """The `Control` facet."""

    def __init__(self, store: Callable[[], Store]) -> None:
        self._store = store

    async def queues(self) -> Sequence[str]:
        """List the queues that were provisioned or hold anything, sorted."""
        return await self._names(self._store().queries.queue_names)

    async def status(self, ids: Sequence[bytes]) -> Sequence[MessageState | None]:
        """Say where messages are, aligned with `ids`; a seek each."""
        return await self._states(self._store().queries.status, ids, writes=False)

    async def cancel(self, ids: Sequence[bytes]) -> Sequence[MessageState | None]:
        """Cancel messages in one statement; see `Control.cancel`.

        Waits for a message that a transaction of its own task has locked, at most `op_timeout`.
        """
        return await self._states(self._store().queries.cancel, ids, writes=True)

    async def pause(self, queue: str) -> None:
        """Hand out nothing of this queue until it is resumed."""
        await self._set_paused(queue, paused=True)

    async def resume(self, queue: str) -> None:
        """Undo `pause`."""
        await self._set_paused(queue, paused=False)
        self._store().wakeup.announce(MESSAGES)

    async def paused(self) -> Sequence[str]:
        """List the names of the paused queues, sorted."""
        return await self._names(self._store().queries.paused)

    async def _set_paused(self, queue: str, *, paused: bool) -> None:
        store = self._store()
        await store.connections.fetch(store.queries.set_paused, queue, paused)

    async def _names(self, sql: str) -> list[str]:
        rows = await self._store().connections.fetch(sql, writes=False)
        return sorted(name for (name,) in rows)

    async def _states(
        self, sql: str, ids: Sequence[bytes], *, writes: bool
    ) -> list[MessageState | None]:
        wanted = sorted(set(ids))
        rows = await self._store().connections.fetch(sql, list(map(UUID, wanted)), writes=writes)
        states: dict[bytes, MessageState] = {
            wanted[place - 1]: MessageState(state) for place, state in rows
        }
        return [states.get(i) for i in ids]
