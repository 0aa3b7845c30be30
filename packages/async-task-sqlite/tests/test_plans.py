"""What a lease costs must not depend on what waits behind it."""

from __future__ import annotations

import os
import re
import sqlite3
import time
from dataclasses import fields
from pathlib import Path

import pytest
from async_task.spi.messages import Ack
from async_task_sqlite.leases import Claim, next_due, reclaim, settle, take, taken
from async_task_sqlite.queries import Queries
from async_task_sqlite.schema import Schema
from async_task_sqlite.session import Session

QUERIES = Queries.for_prefix(Schema("").prefix)
READS_A_WHOLE_TABLE = {"queues", "paused"}  # the table of queues, which is as long as it must be
NOW = 1_000_000


def store(path: Path) -> Session:
    session = Session(str(path), Schema(""))
    session.deadline = time.monotonic() + 60
    return session


@pytest.mark.parametrize("name", [field.name for field in fields(Queries)])
def test_every_statement_seeks(path: Path, name: str) -> None:
    sql = getattr(QUERIES, name)
    bound = dict.fromkeys(re.findall(r":(\w+)", sql), 0) or (0,) * sql.count("?")
    session = store(path)
    plan = session.read(
        lambda db: [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}", bound)]
    )
    session.close()
    assert not [step for step in plan if "TEMP B-TREE" in step]
    scans = [step for step in plan if step.startswith("SCAN async_task")]
    assert not scans or name in READS_A_WHOLE_TABLE, plan


def fill(db: sqlite3.Connection, count: int, *, due_at: int) -> None:
    db.execute(
        """
        WITH RECURSIVE position(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM position WHERE i < ?)
        INSERT INTO async_task_messages (id, queue, priority, due_at, body)
        SELECT randomblob(16), 'q', i % 3, ?, x'00' FROM position LIMIT ?
        """,
        (count, due_at, count),
    )


def steps_of_a_cycle(path: Path, *, ready: int, delayed: int) -> int:
    """Count the virtual machine's steps of a lease of 100 and its settlement."""
    session = store(path)
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    def cycle(db: sqlite3.Connection) -> None:
        claim = Claim(["q"], 100, os.urandom(16), NOW, NOW + 1000)
        assert next_due(db, QUERIES, ["q"]) == NOW
        reclaim(db, QUERIES, NOW)
        assert take(db, QUERIES, claim) == 100
        leases = taken(db, QUERIES, claim)
        assert len(leases) == 100
        assert settle(db, QUERIES, [Ack(lease) for lease in leases], NOW) == []

    def measure(db: sqlite3.Connection) -> None:
        fill(db, ready, due_at=NOW)
        fill(db, delayed, due_at=NOW + 1)
        db.set_progress_handler(count, 1)
        cycle(db)
        db.set_progress_handler(None, 1)

    session.write(measure)
    session.close()
    return steps


def test_a_lease_costs_the_same_whatever_waits(tmp_path: Path) -> None:
    few = steps_of_a_cycle(tmp_path / "few.db", ready=1_000, delayed=1_000)
    many = steps_of_a_cycle(tmp_path / "many.db", ready=100_000, delayed=100_000)
    assert many <= few * 1.02
