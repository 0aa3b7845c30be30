"""Every statement the driver runs on its tables, with `$` for the namespace's prefix.

Tables: see `migrations/`. Arguments are named. Each statement runs inside a transaction made by
`session`; those that write, in one begun `IMMEDIATE`, so that between two statements of one
transaction nothing changes. Many keys travel as one blob of 16-byte pieces and are cut apart by
`_KEYS`: one statement, however many, because every step of a statement gives up the interpreter
lock, and a busy event loop gives it back late.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

# The positions 0..:count-1, with the 16 bytes of :ids that belong to each.
_IDS = """
    WITH RECURSIVE position(i) AS (
        SELECT 0 WHERE :count > 0 UNION ALL SELECT i + 1 FROM position WHERE i + 1 < :count
    ), key(i, id) AS (SELECT i, substr(:ids, 16 * i + 1, 16) FROM position)
"""

# The same, with the lease id of each.
_LEASES = """
    WITH RECURSIVE position(i) AS (
        SELECT 0 WHERE :count > 0 UNION ALL SELECT i + 1 FROM position WHERE i + 1 < :count
    ), key(i, id, lease_id) AS (
        SELECT i, substr(:ids, 16 * i + 1, 16), substr(:lease_ids, 16 * i + 1, 16) FROM position
    )
"""

_DUE = """
    FROM "$messages" WHERE queue = :queue AND priority = :priority AND due_at <= :now
    ORDER BY due_at, seq LIMIT :limit
"""


@dataclass(frozen=True, slots=True)
class Queries:
    """The statements; make them with `for_prefix`."""

    # Enqueue. O(log n) per message.
    stored: str = _IDS + 'SELECT i FROM key CROSS JOIN "$messages" USING (id)'
    insert: str = """
        INSERT INTO "$messages" (id, queue, priority, due_at, expires_at, body)
        VALUES (?, ?, ?, ?, ?, ?)
    """
    add_queue: str = 'INSERT INTO "$queues" (name) VALUES (?) ON CONFLICT DO NOTHING'

    # Lease. Each is a seek in "$waiting" or "$leased", and a step per row it returns.
    paused: str = 'SELECT name FROM "$queues" WHERE paused = 1 ORDER BY name'
    next_priority: str = """
        SELECT priority FROM "$messages"
        WHERE queue = :queue AND priority < :below AND due_at IS NOT NULL
        ORDER BY priority DESC LIMIT 1
    """
    next_due: str = """
        SELECT due_at FROM "$messages"
        WHERE queue = :queue AND priority = :priority AND due_at IS NOT NULL
        ORDER BY due_at LIMIT 1
    """
    next_lease_end: str = """
        SELECT lease_ends_at FROM "$messages" WHERE lease_ends_at IS NOT NULL
        ORDER BY lease_ends_at LIMIT 1
    """
    due: str = "SELECT id, body, deliveries, crashes, state, expires_at" + _DUE
    lease: str = (
        """
        UPDATE "$messages" SET due_at = NULL, lease_id = :lease_id,
            lease_ends_at = :ends_at, deliveries = deliveries + 1
        WHERE seq IN (SELECT seq"""
        + _DUE
        + ")"
    )
    recover: str = """
        SELECT id, queue, body, deliveries, crashes, state, priority, expires_at
        FROM "$messages" WHERE lease_ends_at IS NOT NULL AND lease_id = :lease_id
        ORDER BY seq
    """

    # Reclaim. O(log n) per expired lease.
    expired: str = """
        SELECT seq, crashes FROM "$messages"
        WHERE lease_ends_at <= :now AND cancelled = 0 ORDER BY lease_ends_at LIMIT :limit
    """
    reclaim: str = """
        UPDATE "$messages" SET lease_id = NULL, lease_ends_at = NULL, due_at = ?, crashes = ?
        WHERE seq = ?
    """
    drop_cancelled: str = """
        DELETE FROM "$messages" WHERE seq IN (
            SELECT seq FROM "$messages" WHERE lease_ends_at <= :now AND cancelled = 1 LIMIT :limit
        )
    """

    # Settle and extend. O(log n) per lease; the fence is (id, lease_id) everywhere.
    exceptions: str = (
        _LEASES
        + """
        SELECT i, cancelled FROM key LEFT JOIN "$messages" USING (id, lease_id)
        WHERE cancelled IS NOT 0
        """
    )
    remove: str = (
        'DELETE FROM "$messages" WHERE seq IN ('
        + _LEASES
        + 'SELECT seq FROM key CROSS JOIN "$messages" USING (id, lease_id))'
    )
    extend: str = (
        'UPDATE "$messages" SET lease_ends_at = :ends_at WHERE seq IN ('
        + _LEASES
        + 'SELECT seq FROM key CROSS JOIN "$messages" USING (id, lease_id))'
    )
    put_back: str = """
        UPDATE "$messages" SET lease_id = NULL, lease_ends_at = NULL, due_at = ?, state = ?
        WHERE id = ? AND lease_id = ?
    """
    bury: str = """
        UPDATE "$messages" SET lease_id = NULL, lease_ends_at = NULL,
            died_at = ?, reason = ?, state = ?
        WHERE id = ? AND lease_id = ?
    """

    # Counting. O(length of the queue), within the indexes; O(leases) for `leased`.
    count_waiting: str = """
        SELECT count(*) FILTER (WHERE due_at <= :now), count(*) FILTER (WHERE due_at > :now),
            min(due_at)
        FROM "$messages" WHERE queue = :queue AND due_at IS NOT NULL
    """
    count_leased: str = """
        SELECT count(*) FROM "$messages" WHERE lease_ends_at IS NOT NULL AND queue = :queue
    """
    count_dead: str = """
        SELECT count(*) FROM "$messages" WHERE queue = :queue AND died_at IS NOT NULL
    """
    purge: str = 'DELETE FROM "$messages" WHERE queue = :queue AND due_at IS NOT NULL'

    # Dead letters. A seek per page or id.
    browse_dead: str = """
        SELECT id, queue, body, reason, state, priority, deliveries, crashes, died_at
        FROM "$messages" WHERE queue = :queue AND died_at IS NOT NULL AND id > :after
        ORDER BY id LIMIT :limit
    """
    get_dead: str = """
        SELECT id, queue, body, reason, state, priority, deliveries, crashes, died_at
        FROM "$messages" WHERE id = :id AND queue = :queue AND died_at IS NOT NULL
    """
    requeue: str = """
        UPDATE "$messages" SET died_at = NULL, reason = NULL, expires_at = NULL, due_at = ?,
            state = ?, deliveries = 0, crashes = 0
        WHERE id = ? AND queue = ? AND died_at IS NOT NULL
    """
    purge_dead: str = 'DELETE FROM "$messages" WHERE queue = :queue AND died_at IS NOT NULL'
    purge_dead_id: str = """
        DELETE FROM "$messages" WHERE id = ? AND queue = ? AND died_at IS NOT NULL
    """

    # Control. A seek per id.
    queues: str = 'SELECT name FROM "$queues" ORDER BY name'
    status: str = 'SELECT due_at, lease_ends_at FROM "$messages" WHERE id = :id'
    cancel_waiting: str = 'DELETE FROM "$messages" WHERE id = :id AND due_at IS NOT NULL'
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
    outlived: str = """
        SELECT 1 FROM "$results" WHERE expires_at <= :now LIMIT 1
    """
    drop_outlived: str = """
        DELETE FROM "$results" WHERE id IN (
            SELECT id FROM "$results" WHERE expires_at <= :now ORDER BY expires_at LIMIT :limit
        )
    """

    @classmethod
    def for_prefix(cls, prefix: str) -> Queries:
        """Return the statements for tables whose names begin with `prefix`."""
        return cls(**{field.name: field.default.replace("$", prefix) for field in fields(cls)})
