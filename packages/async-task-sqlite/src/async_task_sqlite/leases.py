"""What happens to leases inside one transaction: taken, reclaimed, ended, found again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_task.spi.messages import Ack, Lease, Reject
from async_task.spi.reclaim import reclaim_delay_ms

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


def take(
    db: sqlite3.Connection,
    q: Queries,
    queues: Sequence[str],
    limit: int,
    lease_id: bytes,
    now: int,
    visibility_ms: int,
) -> list[Lease]:
    """Lease up to `limit` due messages, in the order of `Consumer.lease`."""
    taken: list[Lease] = []
    paused = {name for (name,) in db.execute(q.paused)}
    for queue in queues:
        if queue in paused:
            continue
        for priority in _priorities(db, q, queue):
            if len(taken) == limit:
                return taken
            due = {
                "queue": queue,
                "priority": priority,
                "now": now,
                "limit": limit - len(taken),
                "lease_id": lease_id,
                "ends_at": now + visibility_ms,
            }
            rows = db.execute(q.due, due).fetchall()
            if rows:
                db.execute(q.lease, due)
            taken += [
                Lease(
                    id_,
                    queue,
                    body,
                    lease_id,
                    deliveries + 1,
                    crashes,
                    state,
                    priority,
                    expires_at is not None and now > expires_at,
                )
                for id_, body, deliveries, crashes, state, expires_at in rows
            ]
    return taken


def reclaim(db: sqlite3.Connection, q: Queries, now: int) -> None:
    """Make messages whose lease expired wait again, or drop them if they were cancelled."""
    bound = {"now": now, "limit": _RECLAIM_LIMIT}
    rows = db.execute(q.expired, bound).fetchall()
    db.executemany(
        q.reclaim,
        [(now + reclaim_delay_ms(crashes + 1), crashes + 1, seq) for seq, crashes in rows],
    )
    db.execute(q.drop_cancelled, bound)


def recover(db: sqlite3.Connection, q: Queries, lease_id: bytes, now: int) -> list[Lease]:
    """Return the messages that one `lease` call holds."""
    return [
        Lease(
            id_,
            queue,
            body,
            lease_id,
            deliveries,
            crashes,
            state,
            priority,
            expires_at is not None and now > expires_at,
        )
        for id_, queue, body, deliveries, crashes, state, priority, expires_at in db.execute(
            q.recover, {"lease_id": lease_id}
        )
    ]


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
    db.executemany(q.put_result, [(i, now + r.ttl_ms, r.body) for i, r in results.items()])


def exceptions(
    db: sqlite3.Connection, q: Queries, leases: Sequence[Lease]
) -> tuple[set[int], set[int]]:
    """Return the positions of leases that are not current, and of those that were cancelled."""
    rows = db.execute(q.exceptions, packed(leases)).fetchall()
    return {i for i, flag in rows if flag is None}, {i for i, flag in rows if flag}


def packed(leases: Sequence[Lease]) -> dict[str, int | bytes]:
    """Return the keys of many leases as parameters of one statement."""
    return {
        "count": len(leases),
        "ids": b"".join([lease.id for lease in leases]),
        "lease_ids": b"".join([lease.lease_id for lease in leases]),
    }


def repeated(keys: Sequence[object]) -> set[int]:
    """Return the positions of keys that stand in the same sequence before."""
    if len(set(keys)) == len(keys):
        return set()
    seen: set[object] = set()
    return {i for i, key in enumerate(keys) if key in seen or seen.add(key)}


def _priorities(db: sqlite3.Connection, q: Queries, queue: str) -> Iterator[int]:
    """Yield the priorities that have waiting messages, highest first."""
    below = CAPABILITIES.priorities
    while row := db.execute(q.next_priority, {"queue": queue, "below": below}).fetchone():
        (below,) = row
        yield below
