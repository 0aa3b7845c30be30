"""Rejected messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_task.spi.messages import DeadLetter

from async_task_sqlite.wakeup import MESSAGES

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from async_task_sqlite.store import Store


class SqliteDeadLetters:
    """The `DeadLetters` facet."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def browse(
        self, queue: str, *, limit: int, after: bytes | None = None
    ) -> Sequence[DeadLetter]:
        """Read up to `limit` dead letters of a queue, in order of id."""
        page = {"queue": queue, "limit": limit, "after": after or b""}
        sql = self._store.queries.browse_dead
        return await self._store.connection.read(
            lambda db: [DeadLetter(*row) for row in db.execute(sql, page)]
        )

    async def get(self, queue: str, ids: Sequence[bytes]) -> Sequence[DeadLetter | None]:
        """Read dead letters by id, aligned with `ids`."""
        sql = self._store.queries.get_dead

        def get(db: sqlite3.Connection) -> list[DeadLetter | None]:
            rows = [db.execute(sql, {"id": i, "queue": queue}).fetchone() for i in ids]
            return [None if row is None else DeadLetter(*row) for row in rows]

        return await self._store.connection.read(get)

    async def requeue(self, queue: str, states: Mapping[bytes, bytes]) -> int:
        """Move dead letters back to their queue, ready now; returns how many."""
        store, sql = self._store, self._store.queries.requeue

        def requeue(db: sqlite3.Connection) -> int:
            now = store.now_ms()
            moves = [(now, state, i, queue) for i, state in states.items()]
            return max(0, db.executemany(sql, moves).rowcount)

        return await store.connection.write(requeue, wakes=MESSAGES)

    async def purge(self, queue: str, ids: Sequence[bytes] | None = None) -> int:
        """Delete the dead letters named, or all of the queue; returns how many."""
        q, connection = self._store.queries, self._store.connection
        if ids is None:
            return await connection.write_bulk(q.purge_dead, {"queue": queue})
        rows = [(i, queue) for i in ids]
        return await connection.write(
            lambda db: max(0, db.executemany(q.purge_dead_id, rows).rowcount)
        )
