"""Taking messages and ending leases."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from async_task.spi.errors import DriverError, OutcomeUnknownError
from async_task.spi.messages import Ack, Lease, Reject

from async_task_sqlite.leases import Claim, next_due, reclaim, recover, settle, take, taken
from async_task_sqlite.wakeup import MESSAGES, RESULTS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from async_task.spi.messages import Settlement

    from async_task_sqlite.session import Session
    from async_task_sqlite.store import Store
    from async_task_sqlite.wakeup import Watch


class SqliteConsumer:
    """The `Consumer` of this driver; all its calls share the driver's connection."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: dict[Watch, bool] = {}

    async def lease(
        self,
        queues: Sequence[str],
        limit: int,
        *,
        wait_ms: int,
        lease_id: bytes,
        visibility_ms: int,
    ) -> Sequence[Lease]:
        """Hand out up to `limit` messages; see `Consumer.lease`.

        Looks without the write lock first, so that idle processes keep out of the others' way.
        Cost: a seek per queue and priority in use, and the messages taken, whatever the backlog.
        """
        store, q = self._store, self._store.queries
        loop = asyncio.get_running_loop()
        ends = loop.time() + wait_ms / 1000

        def lease(session: Session) -> tuple[list[Lease], int | None]:
            due = session.read(lambda db: next_due(db, q, queues))
            if due is None or due > store.now_ms():
                return [], due
            now = store.now_ms()
            claim = Claim(queues, limit, lease_id, now, now + visibility_ms)

            def reclaim_and_take(db: sqlite3.Connection) -> int:
                reclaim(db, q, now)
                return take(db, q, claim)

            if not session.write(reclaim_and_take, durable=False):
                return [], session.read(lambda db: next_due(db, q, queues))
            try:
                return session.read(lambda db: taken(db, q, claim)), None
            except DriverError as error:
                raise OutcomeUnknownError(f"leased, but not read: {error}") from error

        with store.wakeup.watch(MESSAGES) as watch:
            self._waiting[watch] = False
            try:
                while True:
                    watch.clear()
                    leases, due = await store.connection.run(lease)
                    left = ends - loop.time()
                    if leases or left <= 0 or self._waiting[watch]:
                        return leases
                    if due is not None:
                        left = min(left, max(0, due - store.now_ms()) / 1000)
                    await watch.wait(left)
            finally:
                del self._waiting[watch]

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[int]:
        """End leases in one transaction; see `Consumer.settle`. O(log n) for each."""
        store, q = self._store, self._store.queries

        def end(db: sqlite3.Connection) -> list[int]:
            return settle(db, q, settlements, store.now_ms())

        wakes = MESSAGES * any(not isinstance(s, Ack | Reject) for s in settlements)
        wakes += RESULTS * any(isinstance(s, Ack | Reject) and s.result for s in settlements)
        return await store.connection.write(end, wakes=wakes) if settlements else ()

    async def recover(self, lease_id: bytes) -> Sequence[Lease]:
        """Return what a `lease` call took and still holds. O(leases held by all)."""
        store, q = self._store, self._store.queries
        return await store.connection.read(lambda db: recover(db, q, lease_id, store.now_ms()))

    def interrupt(self) -> None:
        """Make the `lease` calls that wait now return what they have."""
        for watch in self._waiting:
            self._waiting[watch] = True
            watch.set()
