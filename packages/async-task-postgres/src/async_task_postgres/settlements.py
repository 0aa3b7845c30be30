"""Settlements as columns of a statement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from async_task.spi.messages import Ack, Reject
from asyncpg.pgproto.pgproto import UUID

from async_task_postgres.wakeup import MESSAGES, RESULTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_task.spi.messages import Lease, Settlement


def order(settlements: Sequence[Settlement]) -> list[int]:
    """Return positions in the order of ids, each lease once; what is left out is stale."""
    first: dict[tuple[bytes, bytes], int] = {}
    for i, settlement in enumerate(settlements):
        lease = settlement.lease
        first.setdefault((lease.id, lease.lease_id), i)
    return [first[key] for key in sorted(first)]


def all_plain_acks(settlements: Sequence[Settlement]) -> bool:
    """Tell whether all are done without a result, as most batches are."""
    return all(type(s) is Ack and s.result is None for s in settlements)


def keys(leases: Sequence[Lease]) -> tuple[list[UUID], list[UUID]]:
    """Return ids and lease ids."""
    return [UUID(lease.id) for lease in leases], [UUID(lease.lease_id) for lease in leases]


def columns(settlements: Sequence[Settlement]) -> list[list[Any]]:
    """Return the arguments of `Queries.settle`."""
    ids, lease_ids = keys([s.lease for s in settlements])
    rows: list[tuple[Any, ...]] = []
    for s in settlements:
        if isinstance(s, Ack | Reject):
            result = (None, None) if s.result is None else (s.result.body, s.result.ttl_ms)
            if isinstance(s, Ack):
                rows.append(("done", None, None, None, *result))
            else:
                rows.append(("dead", None, s.state, s.reason, *result))
        else:
            rows.append(("back", s.delay_ms, s.state, None, None, None))
    return [ids, lease_ids, *map(list, zip(*rows, strict=True))]


def wakes(settlements: Sequence[Settlement]) -> str:
    """Return whom they are of interest to."""
    back = any(not isinstance(s, Ack | Reject) for s in settlements)
    results = any(isinstance(s, Ack | Reject) and s.result is not None for s in settlements)
    return MESSAGES * back + RESULTS * results
