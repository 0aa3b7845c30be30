"""Stored outcomes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from async_task_sqlite.leases import put_results
from async_task_sqlite.wakeup import RESULTS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from async_task.spi.messages import StoredResult

    from async_task_sqlite.store import Store


class SqliteResults:
    """The `Results` facet."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def put(self, results: Mapping[bytes, StoredResult]) -> None:
        """Store results; one that is there already is replaced."""
        store = self._store

        def put(db: sqlite3.Connection) -> None:
            put_results(db, store.queries, results, store.now_ms())

        await store.connection.write(put, wakes=RESULTS)

    async def get(self, ids: Sequence[bytes]) -> Sequence[bytes | None]:
        """Read the bodies that are there, aligned with `ids`; a seek each."""
        store, sql = self._store, self._store.queries.get_result

        def get(db: sqlite3.Connection) -> list[bytes | None]:
            now = store.now_ms()
            rows = [db.execute(sql, {"id": i, "now": now}).fetchone() for i in ids]
            return [None if row is None else row[0] for row in rows]

        return await store.connection.read(get)

    async def wait(self, ids: Sequence[bytes], *, wait_ms: int) -> Mapping[bytes, bytes]:
        """Return as soon as at least one of `ids` has a result; see `Results.wait`."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + wait_ms / 1000
        with self._store.wakeup.watch(RESULTS) as watch:
            while True:
                watch.clear()
                bodies = await self.get(ids)
                found = {i: b for i, b in zip(ids, bodies, strict=True) if b is not None}
                left = ends - loop.time()
                if found or left <= 0:
                    return found
                await watch.wait(left)
