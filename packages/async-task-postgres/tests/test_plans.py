"""What a statement costs must not depend on what waits behind it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import fields
from typing import Any

import asyncpg
import pytest
from async_task_postgres.names import Names
from async_task_postgres.queries import Queries
from async_task_postgres.server import SESSION
from async_task_postgres.settings import PostgresSettings

pytestmark = pytest.mark.anyio

QUERIES = Queries.of(Names.of(PostgresSettings(dsn="postgresql://"), ""))
LEVELS = ("array_fill('q'::text, ARRAY[10])", "ARRAY[9, 8, 7, 6, 5, 4, 3, 2, 1, 0]::smallint[]")


@pytest.fixture
async def session(
    admin: asyncpg.Connection, make: Callable[..., Any]
) -> AsyncIterator[asyncpg.Connection]:
    """A connection like the driver's, on its tables."""
    await make().migrations.apply()
    for name, value in SESSION.items():
        await admin.execute(f"SET {name} = '{value}'")
    yield admin
    await admin.execute("RESET ALL")


async def fill(session: asyncpg.Connection, count: int, due: str) -> None:
    await session.execute(
        f"""
        INSERT INTO task_queue (id, queue, priority, due_at, arrival, body)
        SELECT gen_random_uuid(), 'q', i % 3, statement_timestamp() + interval '{due}', i, 'body'
        FROM generate_series(1, {count}) AS i
        """
    )


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


async def explain(
    session: asyncpg.Connection, sql: str, *args: str, run: bool = True
) -> list[dict[str, Any]]:
    """Return the plan that is kept for a prepared statement, with what it did in the end."""
    transaction = session.transaction()
    await transaction.start()
    how = "ANALYZE, BUFFERS, FORMAT JSON" if run else "FORMAT JSON"
    await session.execute(f"PREPARE statement AS {sql}")
    execute = f"EXECUTE statement ({', '.join(args)})" if args else "EXECUTE statement"
    [(text,)] = await session.fetch(f"EXPLAIN ({how}) {execute}")
    await session.execute("DEALLOCATE statement")
    await transaction.rollback()
    return [*nodes(json.loads(text)[0]["Plan"])]


@pytest.mark.parametrize("name", [field.name for field in fields(Queries)])
async def test_every_statement_seeks(session: asyncpg.Connection, name: str) -> None:
    """On tables without statistics, and with those of a queue that was empty when analyzed."""
    sql = getattr(QUERIES, name)
    prepared = await session.prepare(sql)
    null = ["NULL"] * len(prepared.get_parameters())
    for _ in range(2):
        plan = await explain(session, sql, *null, run=False)
        kinds = {node["Node Type"] for node in plan}
        assert not kinds & {"Sort", "Incremental Sort", "Seq Scan", "Hash Join", "Merge Join"}, plan
        await session.execute("ANALYZE task_queue, dead_letter_queue, task_queue_results")


async def lease_costs(session: asyncpg.Connection) -> tuple[int, int]:
    """Return pages touched and rows read by a lease of 100."""
    plan = await explain(session, QUERIES.lease, *LEVELS, "100", "gen_random_uuid()", "1000")
    assert plan[0]["Actual Rows"] == 100
    rows = sum(node["Actual Rows"] * node["Actual Loops"] for node in plan if "Index Name" in node)
    return plan[0]["Shared Hit Blocks"] + plan[0]["Shared Read Blocks"], rows


async def test_a_lease_costs_the_same_whatever_waits(session: asyncpg.Connection) -> None:
    await fill(session, 1_000, "-1 second")
    await fill(session, 1_000, "1 hour")
    await lease_costs(session)  # the first one fills caches
    few_pages, few_rows = await lease_costs(session)
    await fill(session, 50_000, "-1 second")
    await fill(session, 50_000, "1 hour")
    many_pages, many_rows = await lease_costs(session)
    assert few_rows <= 110
    assert many_rows <= 110 + few_rows  # a scan may read to the end of what it knows is dead
    assert many_pages <= 1.5 * few_pages


async def test_an_idle_look_costs_the_same_whatever_waits(session: asyncpg.Connection) -> None:
    await fill(session, 50_000, "1 hour")
    plan = await explain(session, QUERIES.next_due, *LEVELS)
    assert plan[0]["Shared Hit Blocks"] + plan[0]["Shared Read Blocks"] < 100
