"""Stored outcomes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from asyncpg.pgproto.pgproto import UUID

from async_task_postgres.wakeup import RESULTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from async_task.spi.messages import StoredResult

    from async_task_postgres.store import Store

_FIRST_POLL_S = 0.02
_LONGEST_POLL_S = 1.0


class PostgresResults:
    """The `Results` facet."""

    def __init__(self, store: Callable[[], Store]) -> None:
        self._store = store

    async def put(self, results: Mapping[bytes, StoredResult]) -> None:
        """Store results; one that is there already is replaced."""
        store = self._store()
        items = sorted(results.items(), key=lambda item: item[0])
        await store.connections.fetch(
            store.queries.put_results,
            [UUID(i) for i, _ in items],
            [result.ttl_ms for _, result in items],
            [result.body for _, result in items],
        )
        store.wakeup.announce(RESULTS)

    async def get(self, ids: Sequence[bytes]) -> Sequence[bytes | None]:
        """Read the bodies that are there, aligned with `ids`; a seek each."""
        found = await self._find(ids)
        return [found.get(i) for i in ids]

    async def wait(self, ids: Sequence[bytes], *, wait_ms: int) -> Mapping[bytes, bytes]:
        """Return as soon as at least one of `ids` has a result; see `Results.wait`.

        Looks when told of a result, and by itself after 20 ms, twice that, up to once a second.
        """
        loop = asyncio.get_running_loop()
        ends = loop.time() + wait_ms / 1000
        pause = _FIRST_POLL_S
        with self._store().wakeup.watch(RESULTS) as came:
            while True:
                came.clear()
                found = await self._find(ids)
                left = ends - loop.time()
                if found or left <= 0:
                    return found
                try:
                    async with asyncio.timeout(min(left, pause)):
                        await came.wait()
                except TimeoutError:
                    pause = min(2 * pause, _LONGEST_POLL_S)

    async def _find(self, ids: Sequence[bytes]) -> dict[bytes, bytes]:
        store = self._store()
        rows = await store.connections.fetch(
            store.queries.get_results, list(map(UUID, ids)), writes=False
        )
        return {id_.bytes: body for id_, body in rows}
