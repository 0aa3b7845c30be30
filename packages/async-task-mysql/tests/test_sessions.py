"""Locks, and what the server's owner has set: see the fixture `server` for its defaults."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

import pytest
from async_task.spi.driver import Consumer, ConsumerOptions
from async_task.spi.errors import DriverTimeoutError
from async_task.spi.messages import Ack, Extension, Lease, Message, MessageState
from async_task_mysql.client import Client

pytestmark = pytest.mark.anyio
Make = Callable[..., Any]
OPTIONS = ConsumerOptions(queues=("q",), max_leases=100)


def messages(count: int) -> list[Message]:
    return [Message(os.urandom(16), "q", os.urandom(50)) for _ in range(count)]


async def take(consumer: Consumer, limit: int = 1) -> list[Lease]:
    return [
        *await consumer.lease(
            ("q",), limit, wait_ms=0, lease_id=os.urandom(16), visibility_ms=60_000
        )
    ]


def sql(*ids: bytes) -> str:
    return ", ".join(f"x'{i.hex()}'" for i in ids)


async def test_a_lease_that_is_not_committed_keeps_nobody_waiting(
    driver: Any, consumer: Consumer, admin: Client
) -> None:
    """Four take at the same moment: each gets its share, and producers go on."""
    await driver.enqueue(messages(400))
    queries = driver._queries
    leases = [await driver._server.connect(asyncio.get_running_loop().time() + 5) for _ in range(3)]
    taken: set[bytes] = set()
    for client in leases:
        script = queries.take(
            arms=queries.take_arms(["q"], range(9, -1, -1), 100),
            limit=100,
            lease_id=os.urandom(16),
            visibility=1_000_000,
        )
        *_, rows = await client.run(f"START TRANSACTION; {script}")
        assert len(rows.rows) == 100
        taken.update(row[0] for row in rows.rows)
    assert len(taken) == 300
    await driver.enqueue(messages(1))
    mine = await take(consumer, 200)
    assert len(mine) == 101
    assert not taken & {lease.id for lease in mine}
    for client in leases:
        client.abort()


async def test_many_workers_share_a_queue_without_an_error(driver: Any) -> None:
    async def work(batch: int) -> int:
        done = 0
        async with driver.consumer(OPTIONS) as consumer:
            while leases := await take(consumer, batch):
                assert not await consumer.settle([*map(Ack, leases)])
                done += len(leases)
        return done

    await driver.enqueue(messages(600))
    counts = await asyncio.gather(*(work(5) for _ in range(6)))
    assert sum(counts) == 600
    assert all(counts)


async def test_a_row_that_its_task_locked_is_busy_and_nobody_s(
    driver: Any, consumer: Consumer, admin: Client
) -> None:
    await driver.enqueue(messages(3))
    locked, free, gone = await take(consumer, 3)
    await consumer.settle([Ack(gone)])
    both = sql(locked.id, free.id)
    async with driver.keeper() as keeper:
        await admin.run(f"UPDATE task_queue SET lease_ends_at = 1 WHERE id IN ({both}); COMMIT")
        await admin.run(f"SELECT 1 FROM task_queue WHERE id = {sql(locked.id)} FOR UPDATE")
        answers = await keeper.extend([free, gone, locked], 60_000)
        assert list(answers) == [Extension.HELD, Extension.LOST, Extension.BUSY]
        await driver.maintain()
        assert not await take(consumer)
        await admin.run("ROLLBACK")
        assert list(await keeper.extend([free, locked], 60_000)) == [Extension.HELD] * 2


async def test_a_waiting_lease_does_not_spin_on_a_locked_row(
    driver: Any, consumer: Consumer, admin: Client
) -> None:
    """Neither on one that is due nor on one whose lease has expired."""
    await driver.enqueue(messages(2))
    [held] = await take(consumer)
    await admin.run(f"UPDATE task_queue SET lease_ends_at = 1 WHERE id = {sql(held.id)}; COMMIT")
    await admin.run("SELECT 1 FROM task_queue FOR UPDATE")
    before = await questions(admin)
    leases = await consumer.lease(
        ("q",), 1, wait_ms=500, lease_id=os.urandom(16), visibility_ms=1000
    )
    assert not leases
    assert await questions(admin) - before < 600  # 25 looks of 13 statements
    await admin.run("ROLLBACK")


async def questions(admin: Client) -> int:
    [status] = await admin.run("SHOW GLOBAL STATUS LIKE 'Questions'")
    return int(status.rows[0][1])


async def waits_for_a_lock(admin: Client) -> None:
    """Return once some transaction waits for another's lock."""
    async with asyncio.timeout(5):
        while True:
            [waiting] = await admin.run(
                "SELECT 1 FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
            )
            if waiting.rows:
                return
            await asyncio.sleep(0.15)  # the server looks itself every 0.1 s at most


async def test_a_transaction_that_a_deadlock_undid_is_done_again(
    driver: Any, admin: Client
) -> None:
    stored = sorted(messages(30), key=lambda message: message.id)
    await driver.enqueue(stored)
    first, last = stored[0].id, stored[-1].id
    most = sql(*(message.id for message in stored[1:]))
    await admin.run("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
    await admin.run(f"UPDATE task_queue SET state = 'x' WHERE id IN ({most})")
    cancelling = asyncio.create_task(driver.control.cancel([first, last]))
    await waits_for_a_lock(admin)
    # Closes the circle; the server undoes the transaction that has changed less.
    await admin.run(f"UPDATE task_queue SET state = 'x' WHERE id = {sql(first)}; COMMIT")
    assert list(await cancelling) == [MessageState.READY] * 2
    [deadlocks] = await admin.run("SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'")
    assert int(deadlocks.rows[0][1]) > 0


async def test_a_lock_that_is_held_too_long_leaves_nothing_behind(
    make: Make, admin: Client
) -> None:
    """The server undoes only the statement that waited, so the driver must undo the rest."""
    driver = make(op_timeout_ms=1500, max_pool_size=1)
    await driver.open()
    one, two = sorted(messages(2), key=lambda message: message.id)
    await driver.enqueue([one, two])
    await admin.run(f"SELECT 1 FROM task_queue WHERE id = {sql(two.id)} FOR UPDATE")
    with pytest.raises(DriverTimeoutError, match="held a row") as caught:
        await driver.control.cancel([one.id, two.id])
    assert caught.value.retryable
    await admin.run("ROLLBACK")
    [open_] = await admin.run("SELECT COUNT(*) FROM information_schema.innodb_trx")
    assert open_.rows == ((0,),)
    assert list(await driver.control.cancel([one.id, two.id])) == [MessageState.READY] * 2
    await driver.close()


async def test_what_does_not_fit_into_a_packet_goes_in_several(
    driver: Any, consumer: Consumer
) -> None:
    """In one transaction: none is visible before all are stored."""
    large = (driver.capabilities.max_body or 0) // 2
    stored = [Message(os.urandom(16), "q", os.urandom(large)) for _ in range(4)]
    async with asyncio.timeout(20):
        assert list(await driver.enqueue(stored)) == []
        taken = [lease for _ in stored for lease in await take(consumer)]
    assert [(lease.id, lease.body) for lease in taken] == [(m.id, m.body) for m in stored]
    assert list(await driver.enqueue(stored)) == [0, 1, 2, 3]
