"""Messages and settlements in a transaction of the application's own, with its session's settings:
see the fixture `server`."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from typing import Any

import aiomysql
import pytest
from async_task.core.connections import Connection, connection_of
from async_task.spi.driver import Consumer
from async_task.spi.facets import Statement
from async_task.spi.messages import (
    Ack,
    Extension,
    Lease,
    Message,
    Reject,
    Release,
    Settlement,
    StoredResult,
)
from async_task.testing.servers.mysql import MariadbServer

pytestmark = pytest.mark.anyio
HOUR_MS = 3_600_000


@pytest.fixture
async def mine(server: MariadbServer, driver: Any) -> AsyncIterator[Connection]:
    """An application's connection, as the server makes them unless told otherwise."""
    connection = await aiomysql.connect(
        host="127.0.0.1", port=server.port, user="root", db="test", autocommit=None
    )
    yield connection_of(connection)
    connection.close()


def message(**given: object) -> Message:
    return Message(**{"id": os.urandom(16), "queue": "q", "body": os.urandom(256), **given})  # type: ignore[arg-type]  # fields of any kind


async def run(connection: Connection, statements: Sequence[Statement]) -> None:
    for statement in statements:
        await connection.fetch(statement)


async def take(consumer: Consumer, limit: int = 10) -> list[Lease]:
    return [
        *await consumer.lease(
            ("q",), limit, wait_ms=0, lease_id=os.urandom(16), visibility_ms=HOUR_MS
        )
    ]


async def test_messages_come_with_the_commit(
    driver: Any, consumer: Consumer, mine: Connection
) -> None:
    stored = [message(priority=1), message(priority=1), message(), message(delay_ms=HOUR_MS)]
    await mine.begin()
    await run(mine, driver.transactions.enqueue(stored))
    assert not await take(consumer)
    await mine.commit()
    leases = await take(consumer)
    assert [lease.body for lease in leases] == [m.body for m in stored[:3]]


async def test_a_rollback_stores_nothing(driver: Any, mine: Connection) -> None:
    await mine.begin()
    await run(mine, driver.transactions.enqueue([message()]))
    await mine.rollback()
    [stats] = await driver.stats(["q"])
    assert (stats.ready, stats.delayed) == (0, 0)


async def test_what_is_stored_already_stays_as_it_is(
    driver: Any, consumer: Consumer, mine: Connection
) -> None:
    stored = message()
    await driver.enqueue([stored])
    await mine.begin()
    await run(mine, driver.transactions.enqueue([message(id=stored.id, delay_ms=HOUR_MS)]))
    await mine.commit()
    assert [lease.body for lease in await take(consumer)] == [stored.body]


async def test_a_locked_lease_is_busy_until_the_transaction_ends(
    driver: Any, consumer: Consumer, mine: Connection
) -> None:
    """And producers, other consumers and other leases are not held up by it."""
    await driver.enqueue([message(), message()])
    locked, other = await take(consumer)
    await mine.begin()
    assert await mine.fetch(driver.transactions.lock(locked))
    async with driver.keeper() as keeper:
        answers = await keeper.extend([locked, other], HOUR_MS)
        assert list(answers) == [Extension.BUSY, Extension.HELD]
        await driver.enqueue([message()])
        assert len(await take(consumer)) == 1
        assert not await consumer.settle([Reject(other, "failed", b"")])
        await mine.rollback()
        assert list(await keeper.extend([locked], HOUR_MS)) == [Extension.HELD]


async def test_a_lost_lease_locks_nothing(
    driver: Any, consumer: Consumer, mine: Connection
) -> None:
    await driver.enqueue([message()])
    [lease] = await take(consumer)
    await consumer.settle([Ack(lease)])
    await mine.begin()
    assert not await mine.fetch(driver.transactions.lock(lease))
    await mine.rollback()


@pytest.mark.parametrize("kind", ["ack", "release", "reject"])
@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_settlement_is_part_of_the_transaction(
    driver: Any, consumer: Consumer, mine: Connection, kind: str, cancelled: bool
) -> None:
    stored = message(priority=3)
    await driver.enqueue([stored])
    [lease] = await take(consumer)
    if cancelled:
        await driver.control.cancel([lease.id])
    result = StoredResult(b"\0result", HOUR_MS)
    kinds: dict[str, Settlement] = {
        "ack": Ack(lease, result),
        "release": Release(lease, 0, b"st\0te"),
        "reject": Reject(lease, "failed", b"st\0te", result),
    }
    settlement = kinds[kind]
    for ending in (mine.rollback, mine.commit):
        assert not await take(consumer)
        await mine.begin()
        assert await mine.fetch(driver.transactions.lock(lease))
        await run(mine, driver.transactions.settle(settlement))
        await ending()
    assert list(await consumer.settle([settlement])) == [0]
    assert list(await driver.results.get([lease.id])) == [
        None if kind == "release" else result.body
    ]
    again = await take(consumer)
    letters = await driver.dead_letters.browse("q", limit=10)
    if kind == "release" and not cancelled:
        assert [(a.id, a.state, a.deliveries, a.priority) for a in again] == [
            (lease.id, b"st\0te", 2, 3)
        ]
    else:
        assert not again
    if kind == "reject" and not cancelled:
        [letter] = letters
        assert (letter.id, letter.body, letter.reason) == (lease.id, stored.body, "failed")
        assert (letter.state, letter.deliveries, letter.priority) == (b"st\0te", 1, 3)
    else:
        assert not letters
