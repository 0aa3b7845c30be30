"""Looking at single messages and steering whole queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_task.spi.messages import MessageState

from async_task_sqlite.wakeup import MESSAGES

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from async_task_sqlite.store import Store


class SqliteControl:
    """The `Control` facet."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def queues(self) -> Sequence[str]:
        """List the queues that were provisioned or ever held a message, sorted."""
        return await self._names(self._store.queries.queues)

    async def status(self, ids: Sequence[bytes]) -> Sequence[MessageState | None]:
        """Say where messages are, aligned with `ids`; a seek each."""
        return await self._store.connection.read(lambda db: [self._state(db, i) for i in ids])

    async def cancel(self, ids: Sequence[bytes]) -> Sequence[MessageState | None]:
        """Cancel messages in one transaction; see `Control.cancel`."""
        q = self._store.queries

        def cancel(db: sqlite3.Connection) -> list[MessageState | None]:
            states = [self._state(db, i) for i in ids]
            for i in ids:
                db.execute(q.cancel_waiting, {"id": i})
                db.execute(q.cancel_leased, {"id": i})
            return states

        return await self._store.connection.write(cancel)

    async def pause(self, queue: str) -> None:
        """Hand out nothing of this queue until it is resumed."""
        await self._set_paused(queue, True)

    async def resume(self, queue: str) -> None:
        """Undo `pause`."""
        await self._set_paused(queue, False)

    async def paused(self) -> Sequence[str]:
        """List the names of the paused queues, sorted."""
        return await self._names(self._store.queries.paused)

    async def _set_paused(self, queue: str, paused: bool) -> None:
        sql = self._store.queries.set_paused
        values = {"queue": queue, "paused": paused}
        await self._store.connection.write(lambda db: db.execute(sql, values), wakes=MESSAGES)

    async def _names(self, sql: str) -> list[str]:
        return await self._store.connection.read(lambda db: [name for (name,) in db.execute(sql)])

    def _state(self, db: sqlite3.Connection, message: bytes) -> MessageState | None:
        row = db.execute(self._store.queries.status, {"id": message}).fetchone()
        if row is None:
            return None
        due_at, lease_ends_at, died_at = row
        if died_at is not None:
            return MessageState.DEAD
        if lease_ends_at is not None:
            return MessageState.LEASED
        return MessageState.READY if due_at <= self._store.now_ms() else MessageState.DELAYED
