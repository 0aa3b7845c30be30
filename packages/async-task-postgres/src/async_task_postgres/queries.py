# ruff: noqa: S608 - what is put together here is constant; names are quoted by `names`
"""Every statement the driver runs on its tables, each one atomic by itself.

Tables: see `migrations/`; names in braces are filled in. Arguments are `$1` and so on; many of
something travel as one array per column. Durations are milliseconds. Instants are those of
`statement_timestamp()`: `now()` stands still in a transaction, and `clock_timestamp()` is volatile,
so no index could be searched by it.

Statements that wait for locked rows lock them in the order of their arguments, which callers sort
by id; the others skip what is locked. So no two calls can lock each other out.

Where a statement locks rows and then changes them, it does both by id: the locked version may be
newer than what the statement may see, and then no `ctid` leads to it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from async_task_postgres.names import Names

_NOW = "statement_timestamp()"
_MS = "interval '1 millisecond'"

_LEASE = """m.id, m.queue, m.body, m.deliveries, m.crashes, m.state, m.priority,
    coalesce(m.expires_at < statement_timestamp(), false)"""

_LEVELS = """
    unnest($1::text[], $2::smallint[]) AS level (queue, priority)
    CROSS JOIN LATERAL ({each}) AS found
    WHERE level.queue <> ALL (ARRAY(SELECT name FROM {{queues}} WHERE paused))
"""
_WAITING = """
    m.queue = level.queue AND m.priority = level.priority AND m.lease_ends_at IS NULL
"""

_DEAD_LETTER = """d.id, d.queue, d.body, d.reason, d.state, d.priority, d.deliveries, d.crashes,
    (extract(epoch FROM d.died_at) * 1000)::bigint"""

_STATE = f"CASE WHEN due_at <= {_NOW} THEN 'ready' ELSE 'delayed' END"


@dataclass(frozen=True, slots=True)
class Queries:
    """The statements; make them with `of`."""

    # Store messages: ids, queues, priorities, delays, expiries, bodies, places. Returns the places
    # of those that are new. O(log n) each. A message that is buried at this very moment may be
    # stored beside its dead letter; requeueing that merges them.
    enqueue: str = f"""
        INSERT INTO {{queue}} (id, queue, priority, due_at, expires_at, body, arrival)
        SELECT n.id, n.queue, n.priority, {_NOW} + n.delay_ms * {_MS},
            {_NOW} + n.expires_in_ms * {_MS}, n.body, n.arrival
        FROM unnest($1::uuid[], $2::text[], $3::smallint[], $4::bigint[], $5::bigint[], $6::bytea[],
            $7::integer[])
            AS n (id, queue, priority, delay_ms, expires_in_ms, body, arrival)
        WHERE NOT EXISTS (SELECT FROM {{dead}} AS d WHERE d.id = n.id)
        ON CONFLICT (id) DO NOTHING
        RETURNING arrival
    """

    # Lease: queues and priorities to try in this order, how many, lease id, visibility.
    # A seek per pair and a step per message taken, whatever waits behind them. The rows come in the
    # order of the pairs, because the only join there is a loop over them (see `server.SESSION`).
    lease: str = f"""
        WITH taken AS MATERIALIZED (
            SELECT found.row FROM {
        _LEVELS.format(
            each=f'''
                SELECT m.ctid AS row FROM {{queue}} AS m
                WHERE {_WAITING} AND m.due_at <= {_NOW}
                ORDER BY m.due_at, m.arrival LIMIT $3 FOR UPDATE SKIP LOCKED
            '''
        )
    }
            LIMIT $3
        )
        UPDATE {{queue}} AS m
        SET lease_id = $4, lease_ends_at = {_NOW} + $5::bigint * {_MS}, deliveries = deliveries + 1
        FROM taken WHERE m.ctid = taken.row
        RETURNING {_LEASE}
    """

    # Look ahead: queues and priorities. When the next message or lease is due, in milliseconds from
    # now, or null. A seek per pair.
    next_due: str = f"""
        SELECT ceil(extract(epoch FROM least(
            (SELECT min(found.due_at) FROM {
        _LEVELS.format(
            each=f'''
                SELECT m.due_at FROM {{queue}} AS m WHERE {_WAITING}
                ORDER BY m.due_at, m.arrival LIMIT 1
            '''
        )
    }),
            (SELECT lease_ends_at FROM {{queue}} WHERE lease_ends_at IS NOT NULL
                ORDER BY lease_ends_at LIMIT 1)
        ) - {_NOW}) * 1000)::bigint
    """

    # Read what a lease id took and still holds. O(leases held by all).
    recover: str = f"""
        SELECT {_LEASE} FROM {{queue}} AS m
        WHERE m.lease_ends_at > '-infinity' AND m.lease_id = $1
    """

    # Make messages whose lease expired wait again, or drop them if they were cancelled: how many at
    # most. Returns how many wait again. Rows that somebody holds locked are his. The delay is that
    # of `async_task.spi.reclaim`, drawn for each row.
    reclaim: str = f"""
        WITH expired AS MATERIALIZED (
            SELECT id FROM {{queue}} WHERE lease_ends_at <= {_NOW}
            ORDER BY lease_ends_at LIMIT $1 FOR UPDATE SKIP LOCKED
        ), dropped AS (
            DELETE FROM {{queue}} AS m USING expired AS e WHERE m.id = e.id AND m.cancelled
        ), back AS (
            UPDATE {{queue}} AS m
            SET lease_id = NULL, lease_ends_at = NULL, crashes = crashes + 1,
                due_at = {_NOW} + CASE WHEN crashes = 0 THEN interval '0'
                    ELSE random() * least(2 ^ least(crashes + 1, 6), 60) * interval '1 second' END
            FROM expired AS e WHERE m.id = e.id AND NOT m.cancelled
            RETURNING 1
        )
        SELECT count(*) FROM back
    """

    # End leases that are done: ids, lease ids. Returns the places (from 1) of the current ones.
    ack: str = """
        DELETE FROM {queue} AS m
        USING unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS s (id, lease_id, place)
        WHERE m.id = s.id AND m.lease_id = s.lease_id
        RETURNING s.place
    """

    # End leases of any kind: ids, lease ids, kinds, delays, states, reasons, results, times of
    # results. Returns the places (from 1) of the current ones. No lease twice.
    settle: str = f"""
        WITH held AS MATERIALIZED (
            SELECT s.*, m.cancelled
            FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::bytea[], $6::text[],
                $7::bytea[], $8::bigint[]) WITH ORDINALITY
                AS s (id, lease_id, kind, delay_ms, state, reason, result, ttl_ms, place)
            JOIN {{queue}} AS m ON m.id = s.id AND m.lease_id = s.lease_id
            FOR UPDATE OF m
        ), gone AS (
            DELETE FROM {{queue}} AS m USING held AS h
            WHERE m.id = h.id AND (h.kind <> 'back' OR h.cancelled)
            RETURNING h.kind = 'dead' AND NOT h.cancelled AS dead, m.id, m.queue, m.priority,
                m.deliveries, m.crashes, h.reason, h.state, m.body
        ), back AS (
            UPDATE {{queue}} AS m
            SET lease_id = NULL, lease_ends_at = NULL, state = h.state,
                due_at = {_NOW} + h.delay_ms * {_MS}
            FROM held AS h WHERE m.id = h.id AND h.kind = 'back' AND NOT h.cancelled
        ), buried AS (
            INSERT INTO {{dead}} AS d
                (id, queue, priority, deliveries, crashes, died_at, reason, state, body)
            SELECT id, queue, priority, deliveries, crashes, {_NOW}, reason, state, body
            FROM gone WHERE dead
            ON CONFLICT (id) DO UPDATE
            SET reason = excluded.reason, state = excluded.state, died_at = excluded.died_at
        ), kept AS (
            INSERT INTO {{results}} (id, expires_at, body)
            SELECT id, {_NOW} + ttl_ms * {_MS}, result FROM held WHERE result IS NOT NULL
            ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at, body = excluded.body
        )
        SELECT place FROM held
    """

    # Extend leases: ids, lease ids, visibility. Returns the places (from 1) of those extended, and
    # whether they were cancelled; locked ones are skipped.
    extend: str = f"""
        WITH free AS MATERIALIZED (
            SELECT s.place, m.id
            FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS s (id, lease_id, place)
            JOIN {{queue}} AS m ON m.id = s.id AND m.lease_id = s.lease_id
            FOR UPDATE OF m SKIP LOCKED
        )
        UPDATE {{queue}} AS m SET lease_ends_at = {_NOW} + $3::bigint * {_MS}
        FROM free WHERE m.id = free.id
        RETURNING free.place, m.cancelled
    """

    # Find current leases, locked or not: ids, lease ids. Returns their places (from 1).
    current: str = """
        SELECT s.place
        FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS s (id, lease_id, place)
        JOIN {queue} AS m ON m.id = s.id AND m.lease_id = s.lease_id
    """

    # Count queues: their names. O(length of each), within the indexes, and O(leases held by all).
    stats: str = f"""
        SELECT w.ready, w.delayed,
            (SELECT count(*) FROM {{queue}} AS m
                WHERE m.lease_ends_at > '-infinity' AND m.queue = q.name),
            (SELECT count(*) FROM {{dead}} AS d WHERE d.queue = q.name),
            (extract(epoch FROM {_NOW} - w.oldest) * 1000)::bigint
        FROM unnest($1::text[]) AS q (name) CROSS JOIN LATERAL (
            SELECT count(*) FILTER (WHERE m.due_at <= {_NOW}) AS ready,
                count(*) FILTER (WHERE m.due_at > {_NOW}) AS delayed,
                min(m.due_at) FILTER (WHERE m.due_at <= {_NOW}) AS oldest
            FROM {{queue}} AS m WHERE m.queue = q.name AND m.lease_ends_at IS NULL
        ) AS w
    """

    # Delete what waits in a queue and nobody is taking: its name. Returns how many.
    purge: str = """
        WITH waiting AS MATERIALIZED (
            SELECT ctid AS row FROM {queue} WHERE queue = $1 AND lease_ends_at IS NULL
            FOR UPDATE SKIP LOCKED
        ), gone AS (
            DELETE FROM {queue} AS m USING waiting WHERE m.ctid = waiting.row RETURNING 1
        )
        SELECT count(*) FROM gone
    """

    # Dead letters. A seek per page or id.
    browse_dead: str = f"""
        SELECT {_DEAD_LETTER} FROM {{dead}} AS d WHERE d.queue = $1 AND d.id > $2
        ORDER BY d.id LIMIT $3
    """
    first_dead: str = f"""
        SELECT {_DEAD_LETTER} FROM {{dead}} AS d WHERE d.queue = $1 ORDER BY d.id LIMIT $2
    """
    get_dead: str = f"""
        SELECT {_DEAD_LETTER} FROM unnest($2::uuid[]) AS s (id) JOIN {{dead}} AS d USING (id)
        WHERE d.queue = $1
    """
    requeue: str = f"""
        WITH back AS (
            DELETE FROM {{dead}} AS d USING unnest($2::uuid[], $3::bytea[]) AS s (id, state)
            WHERE d.id = s.id AND d.queue = $1
            RETURNING d.id, d.queue, d.priority, s.state, d.body
        ), stored AS (
            INSERT INTO {{queue}} (id, queue, priority, due_at, arrival, state, body)
            SELECT id, queue, priority, {_NOW}, 0, state, body FROM back
            ON CONFLICT (id) DO NOTHING
        )
        SELECT count(*) FROM back
    """
    purge_dead: str = """
        WITH gone AS (DELETE FROM {dead} WHERE queue = $1 RETURNING 1) SELECT count(*) FROM gone
    """
    purge_dead_ids: str = """
        WITH gone AS (
            DELETE FROM {dead} AS d USING unnest($2::uuid[]) AS s (id)
            WHERE d.id = s.id AND d.queue = $1 RETURNING 1
        )
        SELECT count(*) FROM gone
    """

    # Control. A seek per id, and one per queue that holds something.
    status: str = f"""
        SELECT s.place, CASE WHEN m.lease_ends_at IS NOT NULL THEN 'leased' ELSE {_STATE} END
        FROM unnest($1::uuid[]) WITH ORDINALITY AS s (id, place) JOIN {{queue}} AS m USING (id)
        UNION ALL
        SELECT s.place, 'dead'
        FROM unnest($1::uuid[]) WITH ORDINALITY AS s (id, place) JOIN {{dead}} AS d USING (id)
    """
    cancel: str = f"""
        WITH held AS MATERIALIZED (
            SELECT s.place, m.id, m.due_at, m.lease_ends_at IS NOT NULL AS leased
            FROM unnest($1::uuid[]) WITH ORDINALITY AS s (id, place) JOIN {{queue}} AS m USING (id)
            FOR UPDATE OF m
        ), gone AS (
            DELETE FROM {{queue}} AS m USING held AS h WHERE m.id = h.id AND NOT h.leased
        ), marked AS (
            UPDATE {{queue}} AS m SET cancelled = true FROM held AS h
            WHERE m.id = h.id AND h.leased
        )
        SELECT place, CASE WHEN leased THEN 'leased' ELSE {_STATE} END FROM held
        UNION ALL
        SELECT s.place, 'dead'
        FROM unnest($1::uuid[]) WITH ORDINALITY AS s (id, place) JOIN {{dead}} AS d USING (id)
    """
    queue_names: str = """
        WITH RECURSIVE waiting (queue) AS (
            (SELECT queue FROM {queue} WHERE lease_ends_at IS NULL ORDER BY queue LIMIT 1)
            UNION ALL
            SELECT (SELECT m.queue FROM {queue} AS m
                WHERE m.lease_ends_at IS NULL AND m.queue > w.queue ORDER BY m.queue LIMIT 1)
            FROM waiting AS w WHERE w.queue IS NOT NULL
        ), dead (queue) AS (
            (SELECT queue FROM {dead} ORDER BY queue LIMIT 1)
            UNION ALL
            SELECT (SELECT d.queue FROM {dead} AS d
                WHERE d.queue > w.queue ORDER BY d.queue LIMIT 1)
            FROM dead AS w WHERE w.queue IS NOT NULL
        )
        SELECT name FROM {queues}
        UNION SELECT queue FROM waiting WHERE queue IS NOT NULL
        UNION SELECT queue FROM dead WHERE queue IS NOT NULL
        UNION SELECT queue FROM {queue} WHERE lease_ends_at > '-infinity'
    """
    paused: str = "SELECT name FROM {queues} WHERE paused"
    provision: str = """
        INSERT INTO {queues} (name) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING
    """
    set_paused: str = """
        INSERT INTO {queues} (name, paused) VALUES ($1, $2)
        ON CONFLICT (name) DO UPDATE SET paused = excluded.paused
    """

    # Results. A seek per id.
    put_results: str = f"""
        INSERT INTO {{results}} (id, expires_at, body)
        SELECT s.id, {_NOW} + s.ttl_ms * {_MS}, s.body
        FROM unnest($1::uuid[], $2::bigint[], $3::bytea[]) AS s (id, ttl_ms, body)
        ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at, body = excluded.body
    """
    get_results: str = f"""
        SELECT r.id, r.body FROM unnest($1::uuid[]) AS s (id) JOIN {{results}} AS r USING (id)
        WHERE r.expires_at > {_NOW}
    """
    drop_outlived: str = f"""
        WITH outlived AS MATERIALIZED (
            SELECT id FROM {{results}} WHERE expires_at <= {_NOW}
            ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED
        )
        DELETE FROM {{results}} AS r USING outlived AS o WHERE r.id = o.id
    """

    @classmethod
    def of(cls, names: Names) -> Queries:
        """Return the statements for these tables."""
        plain = cls()
        return cls(**{f.name: names.fill(getattr(plain, f.name)) for f in fields(cls)})
