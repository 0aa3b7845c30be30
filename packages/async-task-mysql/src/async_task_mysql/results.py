"""Stored outcomes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from async_task_mysql.template import Sql, listed
from async_task_mysql.wakeup import RESULTS, Pauses

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from async_task.spi.messages import StoredResult

    from async_task_mysql.store import Store


class MysqlResults:
    """The `Results` facet."""

    def __init__(self, store: Callable[[], Store]) -> None:
        self._store = store

    async def put(self, results: Mapping[bytes, StoredResult]) -> None:
        """Store results; one that is there already is replaced."""
        store = self._store()
        if not results:
            return
        rows = (
            store.queries.result_row(id=i, ttl=results[i].ttl_ms * 1000, body=results[i].body)
            for i in sorted(results)
        )
        await store.connections.write(store.queries.put_results(rows=Sql(", ".join(rows))))
        store.wakeup.announce(RESULTS)

    async def get(self, ids: Sequence[bytes]) -> Sequence[bytes | None]:
        """Read the bodies that are there, aligned with `ids`; a seek each."""
        found = await self._find(ids)
        return [found.get(i) for i in ids]

    async def wait(self, ids: Sequence[bytes], *, wait_ms: int) -> Mapping[bytes, bytes]:
        """Return as soon as at least one of `ids` has a result; see `Results.wait`.

        Looks when this driver stores one, and by itself after 20 ms, twice that, up to 250 ms.
        """
        loop = asyncio.get_running_loop()
        ends = loop.time() + wait_ms / 1000
        pauses = Pauses()
        with self._store().wakeup.watch(RESULTS) as came:
            while True:
                came.clear()
                found = await self._find(ids)
                left_s = ends - loop.time()
                if found or left_s <= 0:
                    return found
                await pauses.pause(came, left_s)

    async def _find(self, ids: Sequence[bytes]) -> dict[bytes, bytes]:
        store = self._store()
        if not ids:
            return {}
        [found] = await store.connections.read(
            store.queries.get_results(ids=listed(sorted(set(ids))))
        )
        return dict(found.rows)
