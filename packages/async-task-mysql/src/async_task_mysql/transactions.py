# ruff: noqa: S608 - what is put together here is constant, and names are quoted
"""The facet `transactions`: what messages and settlements are as statements of somebody else's.

They hold no lock but that of the rows they are about, whatever the isolation, time zone and
`sql_mode` of the caller's session: rows are found by primary key, and time is the server's, in UTC.
Bytes travel in hexadecimal, since clients get them wrong: aiomysql with NO_BACKSLASH_ESCAPES, and
with PyMySQL 1.2.3 in every session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from async_task.spi.facets import Statement
from async_task.spi.messages import Ack, Reject

from async_task_mysql.queries import NOW

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_task.spi.messages import Lease, Message, Settlement

    from async_task_mysql.names import Names

# Looking for a dead letter of the same id would lock a gap between dead letters under REPEATABLE
# READ, and keep workers from burying; requeueing merges the two.
_ENQUEUE: Final = f"""
    INSERT INTO {{queue}} (id, queue, priority, due_at, expires_at, body, state)
    VALUES (UNHEX(:id), :queue, :priority, {NOW} + :delay, {NOW} + :expiry, UNHEX(:body), '')
    ON DUPLICATE KEY UPDATE id = id
"""
_HELD: Final = "id = UNHEX(:id) AND lease_id = UNHEX(:lease_id)"
_LOCK: Final = f"SELECT 1 FROM {{queue}} WHERE {_HELD} FOR UPDATE"
_REMOVE: Final = f"DELETE FROM {{queue}} WHERE {_HELD}"
_DROP_CANCELLED: Final = f"DELETE FROM {{queue}} WHERE {_HELD} AND cancelled"
_PUT_BACK: Final = f"""
    UPDATE {{queue}}
    SET lease_id = NULL, lease_ends_at = NULL, due_at = {NOW} + :delay, state = UNHEX(:state)
    WHERE {_HELD}
"""
_BURY: Final = f"""
    REPLACE INTO {{dead}} (id, queue, priority, deliveries, crashes, died_at, reason, state, body)
    SELECT id, queue, priority, deliveries, crashes, {NOW}, :reason, UNHEX(:state), body
    FROM {{queue}} WHERE {_HELD}
"""
_PUT_RESULT: Final = f"""
    REPLACE INTO {{results}} (id, expires_at, body) VALUES (UNHEX(:id), {NOW} + :ttl, UNHEX(:body))
"""


class MysqlTransactions:
    """Statements for connections to the driver's own server."""

    dialect = "mysql"

    def __init__(self, names: Names) -> None:
        self._names = names

    def enqueue(self, messages: Sequence[Message]) -> Sequence[Statement]:
        """Return what stores messages; their delays count from then, not from the commit."""
        return [
            self._statement(
                _ENQUEUE,
                id=m.id,
                queue=m.queue,
                priority=m.priority,
                delay=m.delay_ms * 1000 + i,
                expiry=None if m.expires_in_ms is None else m.expires_in_ms * 1000,
                body=m.body,
            )
            for i, m in enumerate(messages)
        ]

    def lock(self, lease: Lease) -> Statement:
        """Return what locks the row if the lease is current."""
        return self._statement(_LOCK, id=lease.id, lease_id=lease.lease_id)

    def settle(self, settlement: Settlement) -> Sequence[Statement]:
        """Return what ends a locked lease; a cancelled message goes away however it ends."""
        lease = settlement.lease
        key = {"id": lease.id, "lease_id": lease.lease_id}
        if isinstance(settlement, Ack):
            statements = [self._statement(_REMOVE, **key)]
        else:
            statements = [self._statement(_DROP_CANCELLED, **key)]
            if isinstance(settlement, Reject):
                why = {"reason": settlement.reason, "state": settlement.state}
                statements.append(self._statement(_BURY, **key, **why))
                statements.append(self._statement(_REMOVE, **key))
            else:
                back = {"delay": settlement.delay_ms * 1000, "state": settlement.state}
                statements.append(self._statement(_PUT_BACK, **key, **back))
        if isinstance(settlement, Ack | Reject) and settlement.result is not None:
            result = settlement.result
            kept = {"ttl": result.ttl_ms * 1000, "body": result.body}
            statements.append(self._statement(_PUT_RESULT, id=lease.id, **kept))
        return statements

    def _statement(self, sql: str, **parameters: object) -> Statement:
        written: dict[str, object] = {
            name: value.hex() if isinstance(value, bytes) else value
            for name, value in parameters.items()
        }
        return Statement(self._names.fill(sql), written)
