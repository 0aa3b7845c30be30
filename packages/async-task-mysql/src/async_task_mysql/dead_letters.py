"""Rejected messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_task.spi.messages import DeadLetter

from async_task_mysql.template import listed
from async_task_mysql.wakeup import MESSAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from async_task_mysql.client import Outcome
    from async_task_mysql.store import Store


class MysqlDeadLetters:
    """The `DeadLetters` facet."""

    def __init__(self, store: Callable[[], Store]) -> None:
        self._store = store

    async def browse(
        self, queue: str, *, limit: int, after: bytes | None = None
    ) -> Sequence[DeadLetter]:
        """Read up to `limit` dead letters of a queue, in order of id."""
        store = self._store()
        # No id is shorter than 16 bytes, so all come after the empty one.
        [found] = await store.connections.read(
            store.queries.browse_dead(queue=queue, after=after or b"", limit=limit)
        )
        return _letters(found)

    async def get(self, queue: str, ids: Sequence[bytes]) -> Sequence[DeadLetter | None]:
        """Read dead letters by id, aligned with `ids`."""
        store = self._store()
        if not ids:
            return []
        [rows] = await store.connections.read(
            store.queries.get_dead(queue=queue, ids=listed(set(ids)))
        )
        found = {letter.id: letter for letter in _letters(rows)}
        return [found.get(i) for i in ids]

    async def requeue(self, queue: str, states: Mapping[bytes, bytes]) -> int:
        """Move dead letters back to their queue, ready now, in one transaction."""
        store = self._store()
        if not states:
            return 0
        items = ",".join(f'["{i.hex()}","{states[i].hex()}"]' for i in sorted(states))
        outcomes = await store.connections.write(
            store.queries.requeue(queue=queue, items=f"[{items}]")
        )
        store.wakeup.announce(MESSAGES)
        return outcomes[-1].count

    async def purge(self, queue: str, ids: Sequence[bytes] | None = None) -> int:
        """Delete the dead letters named, or all of the queue, many at a time."""
        store = self._store()
        if ids is None:
            return await store.purge(store.queries.purge_dead, queue)
        if not ids:
            return 0
        [gone] = await store.connections.write(
            store.queries.purge_dead_ids(queue=queue, ids=listed(sorted(set(ids))))
        )
        return gone.count


def _letters(found: Outcome) -> list[DeadLetter]:
    return [DeadLetter(*row) for row in found.rows]
