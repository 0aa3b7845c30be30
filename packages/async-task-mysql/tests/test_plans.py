"""What a statement costs must not depend on what waits behind it."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence
from typing import Any

import pytest
from async_task.core.ids import new_id
from async_task.spi.driver import ConsumerOptions
from async_task.spi.messages import Ack, Lease, Message
from async_task_mysql.client import Client
from async_task_mysql.template import Sql, Template, Value, listed

pytestmark = pytest.mark.anyio

LEVELS = range(9, -1, -1)
BATCH = 1000
EXEMPT = {"queue_names", "paused", "row", "result_row", "clock"}
"""Not in anybody's way, or no statements."""

LOCKING = ("take", "reclaim", "ack", "settle", "extend", "purge", "cancel")
QUEUE = {"m", "task_queue"}
OTHERS = {"d", "dead_letter_queue", "r", "task_queue_results"}
"""What tables are called in statements."""


@pytest.fixture
async def session(driver: Any) -> AsyncIterator[Client]:
    """A session like the driver's."""
    client = await driver._server.connect(asyncio.get_running_loop().time() + 5)
    yield client
    client.abort()


async def fill(driver: Any, count: int, *, delay_ms: int = 0) -> None:
    for begin in range(0, count, BATCH):
        await driver.enqueue(
            [
                Message(new_id(), "q", b"body", priority=i % 3, delay_ms=delay_ms)
                for i in range(begin, min(count, begin + BATCH))
            ]
        )


def statements(driver: Any) -> dict[str, str]:
    """Return every script, with values."""
    queries = driver._queries
    ids = [new_id() for _ in range(3)]
    values: dict[str, Value] = {
        "arms": "",
        "after": b"",
        "ids": listed(ids),
        "items": json.dumps([[i.hex(), i.hex(), "back", 0, "00", None, None, None] for i in ids]),
        "lease_id": ids[0],
        "limit": 10,
        "paused": 1,
        "queue": "q",
        "visibility": 1000,
    }
    scripts: dict[str, str] = {}
    for name, template in vars(queries).items():
        if name.startswith("_") or name in EXEMPT:
            continue
        assert isinstance(template, Template)
        if name in ("take", "look"):
            arms = {
                "take": queries.take_arms(["q"], LEVELS, 10),
                "look": queries.look_arms(["q"], LEVELS),
            }
            values["arms"] = arms[name]
        row = queries.row(id=ids[0], queue="q", priority=0, delay=0, expiry=None, body=b"")
        rows = {
            "provision": Sql("('q')"),
            "put_results": queries.result_row(id=ids[0], ttl=0, body=b""),
        }
        values["rows"] = rows.get(name, row)
        scripts[name] = template(**values)
    return scripts


async def test_every_statement_seeks(driver: Any, session: Client) -> None:
    """Those that lock rows do so on tables that the server thinks are empty, too."""
    await check(driver, session, LOCKING, QUEUE)
    await fill(driver, 2000)
    await fill(driver, 2000, delay_ms=3_600_000)
    await session.run(
        "INSERT INTO dead_letter_queue"
        " SELECT id, queue, priority, 1, 0, 0, 'failed', '', body FROM task_queue;"
        "INSERT INTO task_queue_results SELECT id, 0, '' FROM task_queue"
    )
    await session.run("ANALYZE TABLE task_queue, dead_letter_queue, task_queue_results")
    await check(driver, session, statements(driver).keys(), QUEUE | OTHERS)


async def check(
    driver: Any, session: Client, names: Collection[str], tables: Collection[str]
) -> None:
    for name in names:
        for statement in statements(driver)[name].split("; "):
            if statement.startswith("SET"):
                await session.run(statement)
                continue
            [plan] = await session.run(f"EXPLAIN {statement}")
            for row in plan.rows:
                table, kind, extra = row[2], row[3], row[-1] or ""
                if table in tables and row[1] != "INSERT":
                    assert kind not in ("ALL", "index"), (name, row)
                assert "filesort" not in extra, (name, row)


class Costs:
    """Reads of a session, by kind."""

    def __init__(self, session: Client) -> None:
        self._session = session

    async def of(self, script: str) -> Counter[str]:
        before = await self._counters()
        await self._session.run(script)
        after = await self._counters()
        after.subtract(before)
        return +after

    async def _counters(self) -> Counter[str]:
        [status] = await self._session.run(
            "SHOW SESSION STATUS WHERE Variable_name RLIKE '^Handler_read_(key|next|prev|first)$'"
        )
        return Counter({name: int(value) for name, value in status.rows})


async def test_a_lease_costs_the_same_whatever_waits(driver: Any, session: Client) -> None:
    costs = Costs(session)

    async def lease() -> Counter[str]:
        queries = driver._queries
        script = queries.take(
            arms=queries.take_arms(["q"], LEVELS, 10),
            limit=10,
            lease_id=os.urandom(16),
            visibility=3_600_000_000,
        )
        return await costs.of(f"START TRANSACTION; {script}; COMMIT")

    async def look() -> Counter[str]:
        return await costs.of(driver._queries.look(arms=driver._queries.look_arms(["q"], LEVELS)))

    await fill(driver, 500)
    few, few_looked = await lease(), await look()
    await fill(driver, 20_000)
    await fill(driver, 20_000, delay_ms=3_600_000)
    many, many_looked = await lease(), await look()
    assert many.total() <= few.total() + 5, (few, many)
    assert many_looked.total() <= few_looked.total() + 5, (few_looked, many_looked)


async def test_ending_and_renewing_leases_costs_a_seek_each(driver: Any, session: Client) -> None:
    await fill(driver, 2000)
    async with driver.consumer(ConsumerOptions(queues=("q",), max_leases=100)) as consumer:
        leases = await consumer.lease(
            ("q",), 100, wait_ms=0, lease_id=os.urandom(16), visibility_ms=60_000
        )
        assert len(leases) == 100
        costs = Costs(session)
        items = items_of(leases)
        spent = await costs.of(driver._queries.extend(items=items, limit=100, visibility=10**9))
        assert spent.total() <= 400
        spent = await costs.of(driver._queries.ack(items=items))
        assert spent.total() <= 400
        assert list(await consumer.settle([*map(Ack, leases)])) == [*range(100)]


def items_of(leases: Sequence[Lease]) -> str:
    return json.dumps([[lease.id.hex(), lease.lease_id.hex()] for lease in leases])
