# ruff: noqa: S608 - what is put together here is constant; names are quoted by `names`
"""The facet `transactions`: what messages and settlements are as statements of somebody else's.

They lock no row but those they are about. Values travel as text or bytes and are cast here, since
clients disagree about what else a parameter may be (SQLAlchemy makes every int an `integer`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID

from async_task.spi.facets import Statement
from async_task.spi.messages import Ack, Reject

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_task.spi.messages import Lease, Message, Settlement

    from async_task_postgres.names import Names

_NOW: Final = "statement_timestamp()"


def _text(parameter: str) -> str:
    return f"CAST(:{parameter} AS text)"


def _cast(parameter: str, kind: str) -> str:
    return f"CAST({_text(parameter)} AS {kind})"


def _after(parameter: str) -> str:
    return f"{_NOW} + {_cast(parameter, 'bigint')} * interval '1 millisecond'"


_HELD: Final = f"id = {_cast('id', 'uuid')} AND lease_id = {_cast('lease_id', 'uuid')}"
_STATE: Final = "CAST(:state AS bytea)"

_ENQUEUE: Final = f"""
    INSERT INTO {{queue}} (id, queue, priority, due_at, expires_at, body, arrival)
    SELECT {_cast("id", "uuid")}, {_text("queue")}, {_cast("priority", "smallint")},
        {_after("delay")}, {_after("expiry")}, CAST(:body AS bytea), {_cast("arrival", "integer")}
    WHERE NOT EXISTS (SELECT FROM {{dead}} WHERE id = {_cast("id", "uuid")})
    ON CONFLICT (id) DO NOTHING
"""
_LOCK: Final = f"SELECT 1 FROM {{queue}} WHERE {_HELD} FOR UPDATE"
_REMOVE: Final = f"DELETE FROM {{queue}} WHERE {_HELD}"
_DROP_CANCELLED: Final = f"{_REMOVE} AND cancelled"
_PUT_BACK: Final = f"""
    UPDATE {{queue}}
    SET lease_id = NULL, lease_ends_at = NULL, due_at = {_after("delay")}, state = {_STATE}
    WHERE {_HELD}
"""
_BURY: Final = f"""
    WITH gone AS (DELETE FROM {{queue}} WHERE {_HELD} RETURNING *)
    INSERT INTO {{dead}} (id, queue, priority, deliveries, crashes, died_at, reason, state, body)
    SELECT id, queue, priority, deliveries, crashes, {_NOW}, {_text("reason")}, {_STATE}, body
    FROM gone
    ON CONFLICT (id) DO UPDATE
    SET reason = excluded.reason, state = excluded.state, died_at = excluded.died_at
"""
_PUT_RESULT: Final = f"""
    INSERT INTO {{results}} (id, expires_at, body)
    VALUES ({_cast("id", "uuid")}, {_after("ttl")}, CAST(:body AS bytea))
    ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at, body = excluded.body
"""


class PostgresTransactions:
    """Statements for connections to the driver's own database."""

    dialect = "postgresql"

    def __init__(self, names: Names) -> None:
        self._names = names

    def enqueue(self, messages: Sequence[Message]) -> Sequence[Statement]:
        """Return what stores messages; their delays count from then, not from the commit."""
        return [
            self._statement(
                _ENQUEUE,
                id=str(UUID(bytes=m.id)),
                queue=m.queue,
                priority=str(m.priority),
                delay=str(m.delay_ms),
                expiry=None if m.expires_in_ms is None else str(m.expires_in_ms),
                body=m.body,
                arrival=str(i),
            )
            for i, m in enumerate(messages)
        ]

    def lock(self, lease: Lease) -> Statement:
        """Return what locks the row if the lease is current."""
        return self._statement(_LOCK, **_key(lease))

    def settle(self, settlement: Settlement) -> Sequence[Statement]:
        """Return what ends a locked lease; a cancelled message goes away however it ends."""
        key = _key(settlement.lease)
        if isinstance(settlement, Ack):
            statements = [self._statement(_REMOVE, **key)]
        else:
            statements = [self._statement(_DROP_CANCELLED, **key)]
            if isinstance(settlement, Reject):
                why = {"reason": settlement.reason, "state": settlement.state}
                statements.append(self._statement(_BURY, **key, **why))
            else:
                back = {"delay": str(settlement.delay_ms), "state": settlement.state}
                statements.append(self._statement(_PUT_BACK, **key, **back))
        if isinstance(settlement, Ack | Reject) and settlement.result is not None:
            result = settlement.result
            kept = {"id": key["id"], "ttl": str(result.ttl_ms), "body": result.body}
            statements.append(self._statement(_PUT_RESULT, **kept))
        return statements

    def _statement(self, sql: str, **parameters: object) -> Statement:
        return Statement(self._names.fill(sql), parameters)


def _key(lease: Lease) -> dict[str, str]:
    return {"id": str(UUID(bytes=lease.id)), "lease_id": str(UUID(bytes=lease.lease_id))}
