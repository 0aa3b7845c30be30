from __future__ import annotations

import os

import pytest
from async_task.spi.driver import ConsumerOptions, DriverOptions
from async_task.spi.messages import Ack, Message, Reject, Retry, StoredResult
from async_task_sqlite.driver import SqliteDriver
from async_task_sqlite.settings import SqliteSettings


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.mark.anyio
async def test_round_trip(tmp_path):
    d = SqliteDriver(SqliteSettings(path=str(tmp_path / "a.db")), DriverOptions())
    await d.open()
    ids = [os.urandom(16) for _ in range(5)]
    assert (
        await d.enqueue([Message(i, "q", b"b" + i, priority=n % 2) for n, i in enumerate(ids)])
        == []
    )
    assert await d.enqueue(
        [Message(ids[0], "q", b"b"), Message(os.urandom(16), "q", b"", delay_ms=100)]
    ) == [0]
    async with d.consumer(ConsumerOptions(queues=("q",), max_leases=10)) as c, d.keeper() as k:
        l = os.urandom(16)
        got = await c.lease(["q"], 10, wait_ms=0, lease_id=l, visibility_ms=1000)
        assert [g.id for g in got] == [ids[1], ids[3], ids[0], ids[2], ids[4]]
        assert await c.recover(l)
        print(await k.extend(got, 1000))
        assert (
            await c.settle(
                [
                    Ack(got[0], StoredResult(b"x", 1000)),
                    Retry(got[1], 0, b"s"),
                    Reject(got[2], "failed", b""),
                ]
            )
            == []
        )
        assert await c.settle([Ack(got[0]), Ack(got[3]), Ack(got[3])]) == [0, 2]
        print(
            await d.stats(["q"]),
            await d.control.queues(),
            await d.dead_letters.browse("q", limit=3),
        )
        print(await d.results.wait([got[0].id], wait_ms=100))
        got = await c.lease(["q"], 10, wait_ms=0, lease_id=os.urandom(16), visibility_ms=1000)
        print(got)
        got = await c.lease(["q"], 10, wait_ms=1000, lease_id=os.urandom(16), visibility_ms=1000)
        assert got
    await d.maintain()
    await d.close()
