"""What the server's owner has set must not matter."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import pytest
from async_task.spi.driver import Consumer, ConsumerOptions
from async_task.spi.messages import Ack, Extension, Lease, Message, Release
from async_task.testing.servers.postgres import PgBouncerServer, PostgresServer

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("orphans")]
Make = Callable[..., Any]

WAITS = """
SELECT EXISTS (
    SELECT FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND clock_timestamp() - query_start > '200 ms'
)
"""


def messages(count: int) -> list[Message]:
    return [Message(os.urandom(16), "q", b"body") for _ in range(count)]


async def take(consumer: Consumer, limit: int = 1) -> list[Lease]:
    return [
        *await consumer.lease(
            ("q",), limit, wait_ms=0, lease_id=os.urandom(16), visibility_ms=60_000
        )
    ]


@pytest.fixture
async def strict(admin: asyncpg.Connection) -> AsyncIterator[None]:
    """Defaults under which a session that sets nothing can neither write nor wait."""
    for setting in (
        "default_transaction_isolation = 'serializable'",
        "default_transaction_read_only = 'on'",
        "statement_timeout = '100ms'",
    ):
        await admin.execute(f"ALTER DATABASE test SET {setting}")
    yield
    await admin.execute("ALTER DATABASE test RESET ALL")


@pytest.mark.parametrize("pooled", [False, True])
async def test_no_default_of_the_server_makes_calls_fail(
    make: Make, admin: asyncpg.Connection, server: PostgresServer, strict: None, pooled: bool
) -> None:
    with PgBouncerServer(server.url) as bouncer:
        driver = make(dsn=bouncer.url if pooled else server.url)
        await driver.migrations.apply()
        await driver.open()

        async with admin.transaction():
            await admin.execute("LOCK TABLE task_queue")
            enqueuing = asyncio.create_task(driver.enqueue(messages(200)))
            while not (await admin.fetchval(WAITS) or enqueuing.done()):  # noqa: ASYNC110 - locks tell nobody
                await asyncio.sleep(0.01)
        await enqueuing

        async def work() -> int:
            done = 0
            async with driver.consumer(ConsumerOptions(queues=("q",), max_leases=5)) as consumer:
                while leases := await take(consumer, 5):
                    assert not await consumer.settle([*map(Ack, leases)])
                    done += len(leases)
            return done

        assert sum(await asyncio.gather(*(work() for _ in range(6)))) == 200
        await driver.close()


async def test_a_row_that_its_task_locked_is_busy_and_nobody_s(
    driver: Any, consumer: Consumer, admin: asyncpg.Connection
) -> None:
    await driver.enqueue(messages(3))
    locked, free, gone = await take(consumer, 3)
    await consumer.settle([Ack(gone)])
    keeper = driver.keeper()
    async with keeper as extender, admin.transaction():
        await admin.execute(
            "UPDATE task_queue SET lease_ends_at = '-infinity' WHERE id = ANY($1::uuid[])",
            [locked.id.hex(), free.id.hex()],
        )
        await admin.execute("UPDATE task_queue SET state = '' WHERE id = $1", locked.id.hex())
        answers = await extender.extend([free, gone, locked], 60_000)
        assert list(answers) == [Extension.BUSY, Extension.LOST, Extension.BUSY]
        await driver.maintain()
        assert not await take(consumer)
    async with driver.keeper() as extender:
        answers = await extender.extend([free, locked], 60_000)
        assert list(answers) == [Extension.HELD, Extension.HELD]


async def test_a_hint_of_another_process_ends_a_wait(make: Make, driver: Any) -> None:
    """Far sooner than the second after which a waiting lease looks by itself."""
    other = make()
    await other.open()
    async with driver.consumer(ConsumerOptions(queues=("q",), max_leases=1)) as consumer:
        await listening(driver)
        came = 0
        for message in messages(20):
            waiting = asyncio.create_task(
                consumer.lease(
                    ("q",), 1, wait_ms=60_000, lease_id=os.urandom(16), visibility_ms=1000
                )
            )
            await asyncio.sleep(0)
            await other.enqueue([message])
            async with asyncio.timeout(5):
                [lease] = await waiting
            came += lease.id == message.id
            await consumer.settle([Ack(lease)])
    assert came == 20
    await other.close()


async def listening(driver: Any) -> None:
    """Wait until the driver hears hints."""
    store = driver._store()
    with store.wakeup.watch("m") as came:
        async with asyncio.timeout(5):
            await came.wait()  # said once when it begins to listen


async def test_release_wakes_and_order_is_kept(driver: Any, consumer: Consumer) -> None:
    await driver.enqueue(messages(1))
    [lease] = await take(consumer)
    await consumer.settle([Release(lease, 0, b"state")])
    [again] = await take(consumer)
    assert (again.id, again.state, again.deliveries) == (lease.id, b"state", 2)
