# ruff: noqa: S608 - what is put together here is constant, and names are quoted
"""Every statement the driver runs on its tables; each attribute of `Queries` is one round trip.

Tables: see `migrations/`; names in braces are filled in, `:places` take values. Many keys travel as
one JSON array, `:items`, of arrays of columns: the one way to a table of values that MySQL and
MariaDB share. Ids and bytes are hexadecimal there, places count from 1, and `STRAIGHT_JOIN` with
`FORCE INDEX` makes it one seek per row, in their order, whatever the statistics say: a scan, which
is a good plan for a small table, would wait for every locked row of it. A `LIMIT` in a derived
table keeps the server from merging it into the statement, which would lock without skipping.

Durations are microseconds. `@now` is the server's clock at the beginning of a script.

Statements that wait for locked rows lock them by primary key, in the order of `:items`, which
callers sort by id; those that choose rows by another index skip what is locked. So no two calls
lock each other out, and READ COMMITTED leaves no gaps locked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from async_task_mysql.template import Sql, Template

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from async_task_mysql.names import Names

NOW: Final = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))"
"""The server's clock in microseconds; `NOW()` would follow the session's time zone."""

_CLOCK = f"SET @now = {NOW}"

_LEASE = """m.id, m.queue, m.body, m.deliveries, m.crashes, m.state, m.priority,
    COALESCE(m.expires_at < @now, 0), m.due_at"""

_DEAD_LETTER = """d.id, d.queue, d.body, d.reason, d.state, d.priority, d.deliveries, d.crashes,
    d.died_at DIV 1000"""

_KEYS = """JSON_TABLE(@items, '$[*]' COLUMNS (
    place FOR ORDINALITY, id CHAR(32) PATH '$[0]', lease_id CHAR(32) PATH '$[1]'
)) AS s"""
_BY_ID = "{queue} AS m FORCE INDEX (PRIMARY)"
_DEAD_BY_ID = "{dead} AS d FORCE INDEX (PRIMARY)"
_CURRENT = f"{_BY_ID} ON m.id = UNHEX(s.id) AND m.lease_id = UNHEX(s.lease_id)"
# MySQL cannot lock a JSON_TABLE, so must be told what to lock, and MariaDB cannot be told.
_LOCKED = "FOR UPDATE /*!80000 OF m */"

_ENDS = """JSON_TABLE(@items, '$[*]' COLUMNS (
    place FOR ORDINALITY, id CHAR(32) PATH '$[0]', lease_id CHAR(32) PATH '$[1]',
    kind VARCHAR(4) PATH '$[2]', delay_us BIGINT PATH '$[3]', state TEXT PATH '$[4]',
    reason VARCHAR(80) PATH '$[5]', result LONGTEXT PATH '$[6]', ttl_us BIGINT PATH '$[7]'
)) AS s"""


class Queries:
    """The statements on one namespace's tables."""

    def __init__(self, names: Names) -> None:
        def script(*statements: str) -> Template:
            return Template("; ".join(statements), names)

        # Store messages: `clock`, then inserts of rows, then `unbury` with all their ids. Its first
        # outcome has the ids that are dead letters, whose copies it takes back. `insert` fails as a
        # whole if one is stored already; `insert_new` of one row counts 0 for it. O(log n) each.
        insert = "INSERT INTO {queue} (id, queue, priority, due_at, expires_at, body, state) VALUES"
        self.clock = script(_CLOCK)
        self.insert = script(f"{insert} :rows")
        self.insert_new = script(f"{insert} :rows ON DUPLICATE KEY UPDATE id = id")
        self.row = script("(:id, :queue, :priority, @now + :delay, @now + :expiry, :body, '')")
        self.unbury = script(
            f"SELECT d.id FROM {_DEAD_BY_ID} WHERE d.id IN (:ids)",
            f"""DELETE m FROM {_DEAD_BY_ID} STRAIGHT_JOIN {_BY_ID} USING (id)
            WHERE d.id IN (:ids)""",
        )

        # Lease: arms, how many, lease id, visibility. A seek per arm and a step per message taken,
        # whatever waits behind them. Every arm locks up to its limit until the commit, of which
        # the first ones are taken; others skip them for that moment.
        self.take = script(
            _CLOCK,
            "SET @until = @now + :visibility",
            f"""UPDATE (:arms LIMIT :limit) AS taken STRAIGHT_JOIN {_BY_ID} USING (id)
            SET m.lease_id = :lease_id, m.lease_ends_at = @until, m.deliveries = m.deliveries + 1
            """,
            f"""SELECT {_LEASE} FROM {{queue}} AS m
            WHERE m.lease_ends_at = @until AND m.lease_id = :lease_id""",
        )
        waiting = """FROM {queue} FORCE INDEX (ready)
            WHERE queue = :queue AND level = :level AND NOT EXISTS (
                SELECT 1 FROM {queues} AS k WHERE k.name = :queue AND k.paused
            )"""
        self._take_arm = script(
            f"""(SELECT id {waiting} AND due_at <= @now
            ORDER BY due_at LIMIT :limit FOR UPDATE SKIP LOCKED)"""
        )

        # Look ahead: arms. When the next message and the next end of a lease are due, in
        # microseconds from now, or null. A seek per arm.
        self.look = script(
            _CLOCK,
            """SELECT (SELECT MIN(due_at) FROM (:arms) AS next) - @now,
                (SELECT lease_ends_at FROM {queue} FORCE INDEX (leased)
                WHERE lease_ends_at IS NOT NULL ORDER BY lease_ends_at LIMIT 1) - @now""",
        )
        self._look_arm = script(f"(SELECT due_at {waiting} ORDER BY due_at LIMIT 1)")

        # Read what a lease id took and still holds. O(leases held by all).
        self.recover = script(
            _CLOCK,
            f"""SELECT {_LEASE} FROM {{queue}} AS m FORCE INDEX (leased)
            WHERE m.lease_ends_at > 0 AND m.lease_id = :lease_id""",
        )

        # Make messages whose lease expired wait again, or drop them if they were cancelled: how
        # many at most. The last count is of those that wait again. The delay is that of
        # `async_task.spi.reclaim`, drawn for each row.
        expired = f"""(
            SELECT id, cancelled FROM {{queue}} FORCE INDEX (leased)
            WHERE lease_ends_at <= @now ORDER BY lease_ends_at LIMIT :limit FOR UPDATE SKIP LOCKED
        ) AS expired STRAIGHT_JOIN {_BY_ID} USING (id)"""
        self.reclaim = script(
            _CLOCK,
            f"DELETE m FROM {expired} WHERE expired.cancelled",
            f"""UPDATE {expired} SET
            m.due_at = @now + IF(m.crashes = 0, 0,
                FLOOR(RAND() * LEAST(POW(2, LEAST(m.crashes + 1, 6)), 60) * 1000000)),
            m.crashes = m.crashes + 1, m.lease_id = NULL, m.lease_ends_at = NULL
            WHERE NOT expired.cancelled""",
        )

        # End leases that are done: `:items` of ids and lease ids. The second outcome is a JSON
        # array of the places of the current ones.
        self.ack = script(
            "SET @items = :items",
            f"SELECT JSON_ARRAYAGG(s.place) FROM {_KEYS} STRAIGHT_JOIN {_CURRENT} {_LOCKED}",
            f"DELETE m FROM {_KEYS} STRAIGHT_JOIN {_CURRENT}",
        )

        # End leases of any kind: `:items` of ids, lease ids, kinds, delays, states, reasons,
        # results, times of results; no lease twice. The second outcome as above.
        held = f"{_ENDS} STRAIGHT_JOIN {_CURRENT}"
        self.settle = script(
            "SET @items = :items",
            f"SELECT JSON_ARRAYAGG(s.place) FROM {held} {_LOCKED}",
            _CLOCK,
            f"""REPLACE INTO {{dead}}
                (id, queue, priority, deliveries, crashes, died_at, reason, state, body)
            SELECT m.id, m.queue, m.priority, m.deliveries, m.crashes, @now, s.reason,
                UNHEX(s.state), m.body
            FROM {held} WHERE s.kind = 'dead' AND NOT m.cancelled""",
            f"""REPLACE INTO {{results}} (id, expires_at, body)
            SELECT m.id, @now + s.ttl_us, UNHEX(s.result) FROM {held}
            WHERE s.result IS NOT NULL""",
            f"DELETE m FROM {held} WHERE s.kind <> 'back' OR m.cancelled",
            f"""UPDATE {held}
            SET m.lease_id = NULL, m.lease_ends_at = NULL, m.due_at = @now + s.delay_us,
                m.state = UNHEX(s.state)
            WHERE s.kind = 'back'""",
        )

        # Extend leases: `:items` of ids and lease ids, how many, visibility. The last outcome has,
        # of each that is current, the place, whether it was extended, and whether it is cancelled;
        # what is locked is skipped.
        self.extend = script(
            "SET @items = :items",
            f"SET @until = {NOW} + :visibility",
            f"""UPDATE (
                SELECT m.id FROM {_KEYS} STRAIGHT_JOIN {_CURRENT}
                LIMIT :limit {_LOCKED} SKIP LOCKED
            ) AS free STRAIGHT_JOIN {_BY_ID} USING (id)
            SET m.lease_ends_at = @until""",
            f"""SELECT s.place, m.lease_ends_at = @until, m.cancelled
            FROM {_KEYS} STRAIGHT_JOIN {_CURRENT}""",
        )

        # Count one queue. O(its length), within the indexes.
        self.stats = script(
            _CLOCK,
            """SELECT COUNT(CASE WHEN level IS NOT NULL AND due_at <= @now THEN 1 END),
                COUNT(CASE WHEN level IS NOT NULL AND due_at > @now THEN 1 END),
                COUNT(CASE WHEN level IS NULL THEN 1 END),
                (SELECT COUNT(*) FROM {dead} WHERE queue = :queue),
                (@now - MIN(CASE WHEN level IS NOT NULL AND due_at <= @now THEN due_at END))
                    DIV 1000
            FROM {queue} FORCE INDEX (ready) WHERE queue = :queue""",
        )

        # Delete what waits in a queue and nobody is taking: its name, how many at most.
        self.purge = script(
            f"""DELETE m FROM (
                SELECT id FROM {{queue}} FORCE INDEX (ready) WHERE queue = :queue AND level >= 0
                LIMIT :limit FOR UPDATE SKIP LOCKED
            ) AS waiting STRAIGHT_JOIN {_BY_ID} USING (id)"""
        )

        # Dead letters. A seek per page or id.
        self.browse_dead = script(
            f"""SELECT {_DEAD_LETTER} FROM {{dead}} AS d FORCE INDEX (listed)
            WHERE d.queue = :queue AND d.id > :after ORDER BY d.id LIMIT :limit"""
        )
        self.get_dead = script(
            f"SELECT {_DEAD_LETTER} FROM {_DEAD_BY_ID} WHERE d.id IN (:ids) AND d.queue = :queue"
        )
        states = f"""JSON_TABLE(@items, '$[*]' COLUMNS (
            id CHAR(32) PATH '$[0]', state TEXT PATH '$[1]'
        )) AS s STRAIGHT_JOIN {_DEAD_BY_ID}
            ON d.id = UNHEX(s.id) AND d.queue = :queue"""
        self.requeue = script(
            _CLOCK,
            "SET @items = :items",
            f"SELECT COUNT(*) FROM {states} FOR UPDATE /*!80000 OF d */",
            f"""INSERT INTO {{queue}} (id, queue, priority, due_at, state, body)
            SELECT d.id, d.queue, d.priority, @now, UNHEX(s.state), d.body FROM {states}
            ON DUPLICATE KEY UPDATE {{queue}}.id = {{queue}}.id""",
            f"DELETE d FROM {states}",
        )
        self.purge_dead = script(
            f"""DELETE d FROM (
                SELECT id FROM {{dead}} FORCE INDEX (listed) WHERE queue = :queue
                LIMIT :limit FOR UPDATE SKIP LOCKED
            ) AS listed STRAIGHT_JOIN {_DEAD_BY_ID} USING (id)"""
        )
        self.purge_dead_ids = script(
            f"DELETE d FROM {_DEAD_BY_ID} WHERE d.id IN (:ids) AND d.queue = :queue"
        )

        # Control. A seek per id. `cancel` takes `:items` of ids too, and locks what it finds.
        state = "IF(m.lease_ends_at, 'leased', IF(m.due_at <= @now, 'ready', 'delayed'))"
        dead = f"SELECT d.id, 'dead' FROM {_DEAD_BY_ID} WHERE d.id IN (:ids)"
        self.status = script(
            _CLOCK, f"SELECT m.id, {state} FROM {_BY_ID} WHERE m.id IN (:ids)", dead
        )
        these = f"{_KEYS} STRAIGHT_JOIN {_BY_ID} ON m.id = UNHEX(s.id)"
        self.cancel = script(
            "SET @items = :items",
            _CLOCK,
            f"SELECT m.id, {state} FROM {these} {_LOCKED}",
            dead,
            f"DELETE m FROM {these} WHERE m.lease_ends_at IS NULL",
            f"UPDATE {these} SET m.cancelled = TRUE WHERE m.lease_ends_at IS NOT NULL",
        )

        # Queues. A step per queue that holds something.
        self.queue_names = script(
            "SELECT name FROM {queues} UNION SELECT DISTINCT queue FROM {queue} "
            "UNION SELECT DISTINCT queue FROM {dead}"
        )
        self.paused = script("SELECT name FROM {queues} WHERE paused")
        self.provision = script(
            "INSERT INTO {queues} (name) VALUES :rows ON DUPLICATE KEY UPDATE name = name"
        )
        self.set_paused = script(
            "INSERT INTO {queues} (name, paused) VALUES (:queue, :paused) "
            "ON DUPLICATE KEY UPDATE paused = :paused"
        )

        # Results. A seek per id.
        self.put_results = script(
            _CLOCK, "REPLACE INTO {results} (id, expires_at, body) VALUES :rows"
        )
        self.result_row = script("(:id, @now + :ttl, :body)")
        self.get_results = script(
            f"""SELECT id, body FROM {{results}} FORCE INDEX (PRIMARY)
            WHERE id IN (:ids) AND expires_at > {NOW}"""
        )
        self.drop_outlived = script(
            f"""DELETE r FROM (
                SELECT id FROM {{results}} FORCE INDEX (outlived) WHERE expires_at <= {NOW}
                ORDER BY expires_at LIMIT :limit FOR UPDATE SKIP LOCKED
            ) AS outlived STRAIGHT_JOIN {{results}} AS r FORCE INDEX (PRIMARY) USING (id)"""
        )

    def take_arms(self, queues: Sequence[str], levels: Iterable[int], limit: int) -> Sql:
        """Return the selects of `take`: queues in this order, each with its levels in theirs."""
        return _union(
            self._take_arm(queue=queue, level=level, limit=limit)
            for queue in queues
            for level in levels
        )

    def look_arms(self, queues: Sequence[str], levels: Iterable[int]) -> Sql:
        """Return the selects of `look`."""
        return _union(
            self._look_arm(queue=queue, level=level) for queue in queues for level in levels
        )


def _union(arms: Iterable[Sql]) -> Sql:
    return Sql(" UNION ALL ".join(arms))
