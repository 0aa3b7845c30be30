"""Renewing leases, from the heartbeat thread's own loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_task.spi.messages import Extension

from async_task_sqlite.leases import exceptions, packed

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from async_task.spi.messages import Lease

    from async_task_sqlite.store import Store


class SqliteKeeper:
    """The `LeaseKeeper` of this driver, on a connection of its own."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def extend(self, leases: Sequence[Lease], visibility_ms: int) -> Sequence[Extension]:
        """Extend leases in one transaction; two statements however many there are."""
        store, q = self._store, self._store.queries

        def extend(db: sqlite3.Connection) -> list[Extension]:
            lost, cancelled = exceptions(db, q, leases)
            ends_at = store.now_ms() + visibility_ms
            db.execute(q.extend, {"ends_at": ends_at, **packed(leases)})
            answers = [Extension.HELD] * len(leases)
            for i in lost:
                answers[i] = Extension.LOST
            for i in cancelled:
                answers[i] = Extension.CANCELLED
            return answers

        return (
            await store.connection.run(lambda session: session.write(extend, durable=False))
            if leases
            else ()
        )
