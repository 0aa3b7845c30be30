# ruff: noqa: S608 - what is put together here is constant; the prefix is checked by `schema`
"""Every statement the driver runs on its tables.

Tables: see `migrations/`; `$` stands for the namespace's prefix. Arguments are named or in order.
Each statement runs inside a transaction made by `session`; those that write, in one begun
`IMMEDIATE`, so that nothing changes between two statements of one transaction.

Every step of a statement gives up the interpreter lock, and a busy event loop is slow to give it
back, while the transaction keeps other processes out. So what runs in a writing transaction takes
few steps however many messages it is about: many keys travel as one blob of 16-byte pieces, rows
are inserted many to a statement (`rows`), and leases are read after they are taken.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

# One row for each of the :count pieces of :ids and :lease_ids.
_KEY = """
    WITH RECURSIVE position(i) AS (
        SELECT 0 WHERE :count > 0 UNION ALL SELECT i + 1 FROM position WHERE i + 1 < :count
    ), key(i, id, lease_id) AS (
        SELECT i, substr(:ids, 16 * i + 1, 16), substr(:lease_ids, 16 * i + 1, 16) FROM position
    )
"""
_CURRENT = _KEY + 'SELECT seq FROM key CROSS JOIN "$messages" USING (id, lease_id)'

_WAITING = "lease_ends_at IS NULL AND died_at IS NULL"

_LEASES = """
    SELECT -priority, due_at, seq, id, queue, body, deliveries, crashes, state, expires_at
    FROM "$messages"
"""

_DEAD_LETTERS = """
    SELECT id, queue, body, reason, state, priority, deliveries, crashes, died_at FROM "$messages"
"""


@dataclass(frozen=True, slots=True)
class Queries:
    """The statements; make them with `for_prefix`."""

    # Enqueue. O(log n) per message.
    stored: str = f'{_KEY} SELECT i FROM key CROSS JOIN "$messages" USING (id)'
    insert: str = """
        INSERT INTO "$messages" (id, queue, priority, due_at, expires_at, body)
        VALUES (?, ?, ?, ?, ?, ?)
    """
    add_queue: str = 'INSERT INTO "$queues" (name) VALUES (?) ON CONFLICT DO NOTHING'

    # Lease. A seek each, and a step in the index per message taken.
    paused: str = 'SELECT name FROM "$queues" WHERE paused = 1 ORDER BY name'
    next_priority: str = f"""
        SELECT priority FROM "$messages"
        WHERE queue = :queue AND priority < :below AND {_WAITING}
        ORDER BY priority DESC LIMIT 1
    """
    next_due: str = f"""
        SELECT due_at FROM "$messages" WHERE queue = :queue AND priority = :priority AND {_WAITING}
        ORDER BY due_at LIMIT 1
    """
    next_lease_end: str = """
        SELECT lease_ends_at FROM "$messages" WHERE lease_ends_at IS NOT NULL
        ORDER BY lease_ends_at LIMIT 1
    """
    take: str = f"""
        UPDATE "$messages"
        SET lease_id = :lease_id, lease_ends_at = :ends_at, deliveries = deliveries + 1
        WHERE seq IN (
            SELECT seq FROM "$messages"
            WHERE queue = :queue AND priority = :priority AND due_at <= :now AND {_WAITING}
            ORDER BY due_at, seq LIMIT :limit
        )
    """
    taken: str = f"{_LEASES} WHERE lease_ends_at = :ends_at AND lease_id = :lease_id"

    # Recover. O(leases held by all).
    held: str = f"{_LEASES} WHERE lease_ends_at > 0 AND lease_id = :lease_id"

    # Reclaim. O(log n) per expired lease.
    expired: str = """
        SELECT seq, crashes + 1, cancelled FROM "$messages" WHERE lease_ends_at <= :now
        ORDER BY lease_ends_at LIMIT :limit
    """
    reclaim: str = """
        UPDATE "$messages" SET lease_id = NULL, lease_ends_at = NULL, due_at = ?, crashes = ?
        WHERE seq = ?
    """
    drop: str = 'DELETE FROM "$messages" WHERE seq = ?'

    # Settle and extend. O(log n) per lease; the fence is (id, lease_id) everywhere.
    exceptions: str = f"""
        {_KEY} SELECT i, cancelled FROM key LEFT JOIN "$messages" USING (id, lease_id)
        WHERE cancelled IS NOT 0
    """
    remove: str = f'DELETE FROM "$messages" WHERE seq IN ({_CURRENT})'
    extend: str = f'UPDATE "$messages" SET lease_ends_at = :ends_at WHERE seq IN ({_CURRENT})'
    put_back: str = """
        UPDATE "$messages" SET lease_id = NULL, lease_ends_at = NULL, due_at = ?, state = ?
        WHERE id = ? AND lease_id = ?
    """
    bury: str = """
        UPDATE "$messages"
        SET lease_id = NULL, lease_ends_at = NULL, died_at = ?, reason = ?, state = ?
        WHERE id = ? AND lease_id = ?
    """

    # Counting. O(length of the queue), within the indexes; O(leases held by all) for the leased.
    count_waiting: str = f"""
        SELECT count(CASE WHEN due_at <= :now THEN 1 END),
            count(CASE WHEN due_at > :now THEN 1 END), min(due_at)
        FROM "$messages" WHERE queue = :queue AND {_WAITING}
    """
    count_leased: str = """
        SELECT count(*) FROM "$messages" WHERE lease_ends_at > 0 AND queue = :queue
    """
    count_dead: str = """
        SELECT count(*) FROM "$messages" WHERE queue = :queue AND died_at IS NOT NULL
    """
    purge: str = f"""
        DELETE FROM "$messages" WHERE seq IN (
            SELECT seq FROM "$messages" WHERE queue = :queue AND {_WAITING} LIMIT :limit
        )
    """

    # Dead letters. A seek per page or id.
    browse_dead: str = f"""
        {_DEAD_LETTERS} WHERE queue = :queue AND died_at IS NOT NULL AND id > :after
        ORDER BY id LIMIT :limit
    """
    get_dead: str = f"{_DEAD_LETTERS} WHERE id = :id AND queue = :queue AND died_at IS NOT NULL"
    requeue: str = """
        UPDATE "$messages" SET died_at = NULL, reason = NULL, expires_at = NULL, due_at = ?,
            state = ?, deliveries = 0, crashes = 0
        WHERE id = ? AND queue = ? AND died_at IS NOT NULL
    """
    purge_dead: str = """
        DELETE FROM "$messages" WHERE seq IN (
            SELECT seq FROM "$messages" WHERE queue = :queue AND died_at IS NOT NULL LIMIT :limit
        )
    """
    purge_dead_id: str = """
        DELETE FROM "$messages" WHERE id = ? AND queue = ? AND died_at IS NOT NULL
    """

    # Control. A seek per id.
    queues: str = 'SELECT name FROM "$queues" ORDER BY name'
    status: str = 'SELECT due_at, lease_ends_at, died_at FROM "$messages" WHERE id = :id'
    cancel_waiting: str = f'DELETE FROM "$messages" WHERE id = :id AND {_WAITING}'
    cancel_leased: str = """
        UPDATE "$messages" SET cancelled = 1 WHERE id = :id AND lease_ends_at IS NOT NULL
    """
    set_paused: str = """
        INSERT INTO "$queues" (name, paused) VALUES (:queue, :paused)
        ON CONFLICT (name) DO UPDATE SET paused = excluded.paused
    """

    # Results. A seek per id.
    put_result: str = """
        INSERT INTO "$results" (id, expires_at, body) VALUES (?, ?, ?)
        ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at, body = excluded.body
    """
    get_result: str = 'SELECT body FROM "$results" WHERE id = :id AND expires_at > :now'
    outlived: str = 'SELECT 1 FROM "$results" WHERE expires_at <= :now LIMIT 1'
    drop_outlived: str = """
        DELETE FROM "$results" WHERE id IN (
            SELECT id FROM "$results" WHERE expires_at <= :now ORDER BY expires_at LIMIT :limit
        )
    """

    @classmethod
    def for_prefix(cls, prefix: str) -> Queries:
        """Return the statements for tables whose names begin with `prefix`."""
        plain = cls()
        statements = {f.name: getattr(plain, f.name).replace("$", prefix) for f in fields(cls)}
        return cls(**statements)
