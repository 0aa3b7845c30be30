"""Rejected messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_task.spi.messages import DeadLetter
from asyncpg.pgproto.pgproto import UUID

from async_task_postgres.wakeup import MESSAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from async_task_postgres.connections import Rows
    from async_task_postgres.store import Store


class PostgresDeadLetters:
    """The `DeadLetters` facet."""

    def __init__(self, store: Callable[[], Store]) -> None:
        self._store = store

    async def browse(
        self, queue: str, *, limit: int, after: bytes | None = None
    ) -> Sequence[DeadLetter]:
        """Read up to `limit` dead letters of a queue, in order of id."""
        store = self._store()
        if after is None:
            rows = await store.connections.fetch(
                store.queries.first_dead, queue, limit, writes=False
            )
        else:
            rows = await store.connections.fetch(
                store.queries.browse_dead, queue, UUID(after), limit, writes=False
            )
        return _letters(rows)

    async def get(self, queue: str, ids: Sequence[bytes]) -> Sequence[DeadLetter | None]:
        """Read dead letters by id, aligned with `ids`."""
        store = self._store()
        rows = await store.connections.fetch(
            store.queries.get_dead, queue, list(map(UUID, ids)), writes=False
        )
        found = {letter.id: letter for letter in _letters(rows)}
        return [found.get(i) for i in ids]

    async def requeue(self, queue: str, states: Mapping[bytes, bytes]) -> int:
        """Move dead letters back to their queue, ready now; returns how many."""
        store = self._store()
        ids = sorted(states)
        [(count,)] = await store.connections.fetch(
            store.queries.requeue, queue, list(map(UUID, ids)), [states[i] for i in ids]
        )
        store.wakeup.announce(MESSAGES)
        return int(count)

    async def purge(self, queue: str, ids: Sequence[bytes] | None = None) -> int:
        """Delete the dead letters named, or all of the queue; returns how many."""
        store = self._store()
        if ids is None:
            [(count,)] = await store.connections.fetch(store.queries.purge_dead, queue)
        else:
            [(count,)] = await store.connections.fetch(
                store.queries.purge_dead_ids, queue, [UUID(i) for i in sorted(set(ids))]
            )
        return int(count)


def _letters(rows: Rows) -> list[DeadLetter]:
    return [DeadLetter(id_.bytes, *rest) for id_, *rest in rows]
