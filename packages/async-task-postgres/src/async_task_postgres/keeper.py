"""Renewing leases, from the heartbeat thread's own loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_task.spi.messages import Extension

from async_task_postgres.settlements import keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_task.spi.messages import Lease

    from async_task_postgres.connections import Connections
    from async_task_postgres.queries import Queries


class PostgresKeeper:
    """The `LeaseKeeper` of this driver, on a connection of its own."""

    def __init__(self, connections: Connections, queries: Queries) -> None:
        self._connections = connections
        self._queries = queries

    async def extend(self, leases: Sequence[Lease], visibility_ms: int) -> Sequence[Extension]:
        """Extend leases in one statement; a second one only if some were not to be had.

        A row that is locked, by a transaction of its own task say, is current but cannot be
        extended now: BUSY. Whoever might take it skips it too.
        """
        if not leases:
            return ()
        answers = [Extension.LOST] * len(leases)
        rows = await self._connections.fetch(self._queries.extend, *keys(leases), visibility_ms)
        for place, cancelled in rows:
            answers[place - 1] = Extension.CANCELLED if cancelled else Extension.HELD
        if len(rows) < len(leases):
            rest = [i for i, answer in enumerate(answers) if answer is Extension.LOST]
            columns = keys([leases[i] for i in rest])
            for (place,) in await self._connections.fetch(
                self._queries.current, *columns, writes=False
            ):
                answers[rest[place - 1]] = Extension.BUSY
        return answers
