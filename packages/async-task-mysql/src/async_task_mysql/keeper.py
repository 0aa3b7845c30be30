"""Renewing leases, from the heartbeat thread's own loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_task.spi.messages import Extension

from async_task_mysql.settlements import keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_task.spi.messages import Lease

    from async_task_mysql.connections import Connections
    from async_task_mysql.queries import Queries


class MysqlKeeper:
    """The `LeaseKeeper` of this driver, on a connection of its own."""

    def __init__(self, connections: Connections, queries: Queries) -> None:
        self._connections = connections
        self._queries = queries

    async def extend(self, leases: Sequence[Lease], visibility_ms: int) -> Sequence[Extension]:
        """Extend leases in one round trip.

        A row that is locked, by a transaction of its own task say, is current but cannot be
        extended now: BUSY. Whoever might take it skips it too.
        """
        if not leases:
            return ()
        *_, current = await self._connections.write(
            self._queries.extend(
                items=f"[{','.join(keys(leases))}]",
                limit=len(leases),
                visibility=visibility_ms * 1000,
            )
        )
        answers = [Extension.LOST] * len(leases)
        for place, extended, cancelled in current.rows:
            if not extended:
                answers[place - 1] = Extension.BUSY
            else:
                answers[place - 1] = Extension.CANCELLED if cancelled else Extension.HELD
        return answers
