"""What happens to leases inside one transaction: taken, reclaimed, ended, found again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from async_task.spi.messages import Ack, Lease, Reject
from async_task.spi.reclaim import reclaim_delay_ms

from async_task_sqlite import rows
from async_task_sqlite.plugin import CAPABILITIES

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping, Sequence

    from async_task.spi.messages import Settlement, StoredResult

    from async_task_sqlite.queries import Queries

_RECLAIM_LIMIT = 100
"""Most expired leases reclaimed at once, so that a crash of many holds nobody up for long."""


def next_due(db: sqlite3.Connection, q: Queries, queues: Sequence[str]) -> int | None:
    """Return when there may next be something to hand out or reclaim; `None` for no idea."""
    paused = {name for (name,) in db.execute(q.paused)}
    instants = [end for (end,) in db.execute(q.next_lease_end)]
    for queue in queues:
        if queue not in paused:
            for priority in _priorities(db, q, queue):
                at = {"queue": queue, "priority": priority}
                instants += [due for (due,) in db.execute(q.next_due, at)]
    return min(instants, default=None)


class Claim(NamedTuple):
    """What one `lease` call asks for, at one moment of the store's clock."""

    queues: Sequence[str]
    limit: int
    lease_id: bytes
    now: int
    ends_at: int


def take(db: sqlite3.Connection, q: Queries, claim: Claim) -> int:
    """Lease due messages, in the order of `Consumer.lease`; returns how many. See `taken`."""
    count = 0
    paused = {name for (name,) in db.execute(q.paused)}
    for queue in claim.queues:
        if queue not in paused:
            for priority in _priorities(db, q, queue):
                if count == claim.limit:
                    return count
                due = {
                    "queue": queue,
                    "priority": priority,
                    "now": claim.now,
                    "limit": claim.limit - count,
                    "lease_id": claim.lease_id,
                    "ends_at": claim.ends_at,
                }
                count += db.execute(q.take, due).rowcount
    return count


def taken(db: sqlite3.Connection, q: Queries, claim: Claim) -> list[Lease]:
    """Read what `take` has leased, in the same order."""
    held = db.execute(q.taken, {"lease_id": claim.lease_id, "ends_at": claim.ends_at}).fetchall()
    found = _leases(held, claim.lease_id, claim.now)
    if len(claim.queues) > 1:
        rank = {queue: i for i, queue in reversed(list(enumerate(claim.queues)))}
        found.sort(key=lambda lease: rank[lease.queue])
    return found


def recover(db: sqlite3.Connection, q: Queries, lease_id: bytes, now: int) -> list[Lease]:
    """Read what one `lease` call still holds."""
    return _leases(db.execute(q.held, {"lease_id": lease_id}).fetchall(), lease_id, now)


def reclaim(db: sqlite3.Connection, q: Queries, now: int) -> None:
    """Make messages whose lease expired wait again, or drop them if they were cancelled."""
    for seq, crashes, cancelled in db.execute(
        q.expired, {"now": now, "limit": _RECLAIM_LIMIT}
    ).fetchall():
        if cancelled:
            db.execute(q.drop, (seq,))
        else:
            db.execute(q.reclaim, (now + reclaim_delay_ms(crashes), crashes, seq))


def settle(
    db: sqlite3.Connection, q: Queries, settlements: Sequence[Settlement], now: int
) -> list[int]:
    """End leases; returns the positions of those that are not current, which change nothing."""
    held = [s.lease for s in settlements]
    stale, cancelled = exceptions(db, q, held)
    stale |= repeated([(lease.id, lease.lease_id) for lease in held])
    current = [(i, s) for i, s in enumerate(settlements) if i not in stale]
    gone: list[Lease] = []
    back: list[tuple[int, bytes, bytes, bytes]] = []
    dead: list[tuple[int, str, bytes, bytes, bytes]] = []
    results: dict[bytes, StoredResult] = {}
    for i, s in current:
        lease = s.lease
        if isinstance(s, Ack | Reject) and s.result is not None:
            results[lease.id] = s.result
        if isinstance(s, Ack) or i in cancelled:
            gone.append(lease)
        elif isinstance(s, Reject):
            dead.append((now, s.reason, s.state, lease.id, lease.lease_id))
        else:
            back.append((now + s.delay_ms, s.state, lease.id, lease.lease_id))
    db.execute(q.remove, packed(gone))
    db.executemany(q.put_back, back)
    db.executemany(q.bury, dead)
    put_results(db, q, results, now)
    return sorted(stale)


def put_results(
    db: sqlite3.Connection, q: Queries, results: Mapping[bytes, StoredResult], now: int
) -> None:
    """Store results, each to be dropped when its time is over."""
    rows.insert(db, q.put_result, [(i, now + r.ttl_ms, r.body) for i, r in results.items()])


def exceptions(
    db: sqlite3.Connection, q: Queries, leases: Sequence[Lease]
) -> tuple[set[int], set[int]]:
    """Return the positions of leases that are not current, and of those that were cancelled."""
    found = db.execute(q.exceptions, packed(leases)).fetchall()
    return {i for i, flag in found if flag is None}, {i for i, flag in found if flag}


def packed(leases: Sequence[Lease]) -> dict[str, int | bytes]:
    """Return the keys of many leases as parameters of one statement."""
    return {
        "count": len(leases),
        "ids": b"".join([lease.id for lease in leases]),
        "lease_ids": b"".join([lease.lease_id for lease in leases]),
    }


def repeated(keys: Sequence[object]) -> set[int]:
    """Return the positions of keys that stand in the same sequence before."""
    first: dict[object, int] = {}
    return {i for i, key in enumerate(keys) if first.setdefault(key, i) != i}


def _leases(found: list[Any], lease_id: bytes, now: int) -> list[Lease]:
    """Make leases of rows, in the order of priority, due time and arrival, which come first."""
    found.sort()
    return [
        Lease(
            id_,
            queue,
            body,
            lease_id,
            deliveries,
            crashes,
            state,
            -negated,
            expires_at is not None and now > expires_at,
        )
        for negated, _, _, id_, queue, body, deliveries, crashes, state, expires_at in found
    ]


def _priorities(db: sqlite3.Connection, q: Queries, queue: str) -> Iterator[int]:
    """Yield the priorities that have waiting messages, highest first."""
    below = CAPABILITIES.priorities
    while row := db.execute(q.next_priority, {"queue": queue, "below": below}).fetchone():
        (below,) = row
        yield below
