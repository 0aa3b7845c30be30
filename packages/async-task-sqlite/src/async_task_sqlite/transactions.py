"""The facet `transactions`: what messages and settlements are as statements of somebody else's.

The caller's transaction holds the file's only write lock from its first statement here until it
ends: nobody else stores, leases or renews meanwhile, so it must be short (a third of a lease).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from async_task.spi.facets import Statement
from async_task.spi.messages import Ack, Reject

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from async_task.spi.messages import Lease, Message, Settlement

_ENQUEUE: Final = """
    INSERT INTO "$messages" (id, queue, priority, due_at, expires_at, body)
    VALUES (:id, :queue, :priority, :due_at, :expires_at, :body) ON CONFLICT (id) DO NOTHING
"""
_ADD_QUEUE: Final = 'INSERT INTO "$queues" (name) VALUES (:queue) ON CONFLICT DO NOTHING'
# Writing, not only reading, takes the write lock, which keeps everybody from reclaiming it.
_LOCK: Final = """
    UPDATE "$messages" SET lease_id = lease_id WHERE id = :id AND lease_id = :lease_id RETURNING 1
"""
_REMOVE: Final = 'DELETE FROM "$messages" WHERE id = :id AND lease_id = :lease_id'
_DROP_CANCELLED: Final = f"{_REMOVE} AND cancelled = 1"
_PUT_BACK: Final = """
    UPDATE "$messages"
    SET lease_id = NULL, lease_ends_at = NULL, due_at = :due_at, state = :state
    WHERE id = :id AND lease_id = :lease_id
"""
_BURY: Final = """
    UPDATE "$messages" SET lease_id = NULL, lease_ends_at = NULL, died_at = :died_at,
        reason = :reason, state = :state
    WHERE id = :id AND lease_id = :lease_id
"""
_PUT_RESULT: Final = """
    INSERT INTO "$results" (id, expires_at, body) VALUES (:id, :expires_at, :body)
    ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at, body = excluded.body
"""


class SqliteTransactions:
    """Statements for connections to the driver's own file.

    Args:
        prefix: What the names of the namespace's tables begin with.
        now_ms: The store's clock.
    """

    dialect = "sqlite"

    def __init__(self, prefix: str, now_ms: Callable[[], int]) -> None:
        self._prefix = prefix
        self._now_ms = now_ms

    def enqueue(self, messages: Sequence[Message]) -> Sequence[Statement]:
        """Return what stores messages; their delays count from now, not from the commit."""
        now = self._now_ms()
        statements = [
            self._statement(
                _ENQUEUE,
                id=m.id,
                queue=m.queue,
                priority=m.priority,
                due_at=now + m.delay_ms,
                expires_at=None if m.expires_in_ms is None else now + m.expires_in_ms,
                body=m.body,
            )
            for m in messages
        ]
        queues = dict.fromkeys(message.queue for message in messages)
        return [*statements, *(self._statement(_ADD_QUEUE, queue=queue) for queue in queues)]

    def lock(self, lease: Lease) -> Statement:
        """Return what takes the write lock if the lease is current."""
        return self._statement(_LOCK, id=lease.id, lease_id=lease.lease_id)

    def settle(self, settlement: Settlement) -> Sequence[Statement]:
        """Return what ends a locked lease; a cancelled message goes away however it ends."""
        now = self._now_ms()
        lease = settlement.lease
        key = {"id": lease.id, "lease_id": lease.lease_id}
        if isinstance(settlement, Ack):
            statements = [self._statement(_REMOVE, **key)]
        else:
            statements = [self._statement(_DROP_CANCELLED, **key)]
            if isinstance(settlement, Reject):
                state, reason = settlement.state, settlement.reason
                died = {"died_at": now, "reason": reason, "state": state}
                statements.append(self._statement(_BURY, **key, **died))
            else:
                due_at = now + settlement.delay_ms
                back = {"due_at": due_at, "state": settlement.state}
                statements.append(self._statement(_PUT_BACK, **key, **back))
        if isinstance(settlement, Ack | Reject) and settlement.result is not None:
            result = settlement.result
            kept = {"expires_at": now + result.ttl_ms, "body": result.body}
            statements.append(self._statement(_PUT_RESULT, id=lease.id, **kept))
        return statements

    def _statement(self, sql: str, **parameters: object) -> Statement:
        return Statement(sql.replace("$", self._prefix), parameters)
