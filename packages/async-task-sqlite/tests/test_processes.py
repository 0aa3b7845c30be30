"""Several processes on one file."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from async_task.spi.driver import Consumer
from async_task.spi.messages import Lease, Message, StoredResult
from async_task_sqlite import wakeup
from async_task_sqlite.driver import SqliteDriver

PREAMBLE = """
import asyncio, json, os, sys
from async_task.spi.driver import ConsumerOptions, DriverOptions
from async_task.spi.messages import Ack, Message
from async_task_sqlite.driver import SqliteDriver
from async_task_sqlite.settings import SqliteSettings

driver = SqliteDriver(SqliteSettings(path=sys.argv[1]), DriverOptions())

def meet():
    print("here", flush=True)
    sys.stdin.readline()

def message(body=b""):
    return Message(os.urandom(16), "q", body)

async def lease(consumer, limit, wait_ms=0):
    lease_id = os.urandom(16)
    return await consumer.lease(
        ["q"], limit, wait_ms=wait_ms, lease_id=lease_id, visibility_ms=30_000
    )

options = ConsumerOptions(queues=("q",), max_leases=100)
"""


class Process:
    """A Python process on the test's file that runs `async def main()`."""

    def __init__(self, path: Path, main: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", f"{PREAMBLE}\n{main}\nasyncio.run(main())", str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def go(self) -> None:
        assert self.process.stdin is not None
        print(file=self.process.stdin, flush=True)

    def kill(self) -> str:
        """Kill it, and return what it had yet to say."""
        self.process.kill()
        return self.process.communicate()[0]

    def result(self) -> Any:
        output, _ = self.process.communicate(timeout=60)
        assert self.process.returncode == 0
        return json.loads(output)


Start = Callable[[str], Process]


@pytest.fixture
def start(path: Path) -> Iterator[Start]:
    """Starts processes; those that still run at the end are killed."""
    started: list[Process] = []

    def start(main: str) -> Process:
        started.append(Process(path, main))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.kill()


def mailboxes(path: Path) -> list[str]:
    return os.listdir(f"{path}-wake")


async def take(consumer: Consumer, limit: int = 1, *, wait_ms: int = 0) -> list[Lease]:
    leases = await consumer.lease(
        ["q"], limit, wait_ms=wait_ms, lease_id=os.urandom(16), visibility_ms=30_000
    )
    return list(leases)


@pytest.mark.anyio
async def test_four_processes_share_the_work(
    start: Start, driver: SqliteDriver, consumer: Consumer
) -> None:
    for _ in range(20):
        await driver.enqueue([Message(os.urandom(16), "q", b"") for _ in range(100)])
    worker = """
async def main():
    await driver.open()
    count = 0
    async with driver.consumer(options) as consumer:
        meet()
        while leases := await lease(consumer, 1):
            assert not await consumer.settle([Ack(lease) for lease in leases])
            count += len(leases)
    await driver.close()
    print(json.dumps(count))
"""
    workers = [start(worker) for _ in range(4)]
    assert [each.line() for each in workers] == ["here"] * 4
    for each in workers:
        each.go()
    counts = [each.result() for each in workers]
    assert sum(counts) == 2000
    assert min(counts) >= 100, counts  # 5 %


def test_eight_processes_make_a_new_file_at_once(start: Start) -> None:
    opener = """
async def main():
    meet()
    await driver.open()
    await driver.enqueue([message()])
    await driver.close()
    print(json.dumps(None))
"""
    openers = [start(opener) for _ in range(8)]
    assert [each.line() for each in openers] == ["here"] * 8
    for each in openers:
        each.go()
    assert [each.result() for each in openers] == [None] * 8


@pytest.mark.anyio
async def test_a_waiting_lease_is_woken_by_another_process(
    start: Start, driver: SqliteDriver, consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeup, "_POLL_S", 3600.0)  # nothing but the hint is left
    producer = start("""
async def main():
    await driver.open()
    meet()
    await driver.enqueue([message(b"hello")])
    await driver.close()
    print("null")
""")
    waiting = [asyncio.create_task(take(consumer, wait_ms=60_000)) for _ in range(2)]
    assert await asyncio.to_thread(producer.line) == "here"
    producer.go()
    done, rest = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    assert [[lease.body for lease in task.result()] for task in done] == [[b"hello"]]
    consumer.interrupt()
    assert [await task for task in rest] == [[]]
    producer.result()


@pytest.mark.anyio
async def test_a_waiting_process_is_woken_by_this_one(
    start: Start, driver: SqliteDriver, consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiter = start(
        """
from async_task_sqlite import wakeup
wakeup._POLL_S = 3600.0

async def main():
    await driver.open()
    async with driver.consumer(options) as consumer:
        waiting = asyncio.create_task(lease(consumer, 1, 3_600_000))
        while not os.path.isdir(sys.argv[1] + "-wake") or not os.listdir(sys.argv[1] + "-wake"):
            await asyncio.sleep(0)
        meet()
        [one] = await waiting
        result = await driver.results.wait([one.id], wait_ms=3_600_000)
    await driver.close()
    print(json.dumps(sorted(body.decode() for body in result.values())))
""",
    )
    assert await asyncio.to_thread(waiter.line) == "here"
    waiter.go()
    [message] = [Message(os.urandom(16), "q", b"")]
    await driver.enqueue([message])
    assert driver.results is not None
    await driver.results.put({message.id: StoredResult(b"done", 60_000)})
    assert await asyncio.to_thread(waiter.result) == ["done"]


@pytest.mark.anyio
async def test_the_mailbox_of_a_killed_process_is_removed(
    path: Path, start: Start, driver: SqliteDriver, consumer: Consumer
) -> None:
    waiter = start(
        """
async def main():
    await driver.open()
    async with driver.consumer(options) as consumer:
        await lease(consumer, 1)
        meet()
""",
    )
    assert await asyncio.to_thread(waiter.line) == "here"
    assert len(mailboxes(path)) == 1
    waiter.kill()
    await driver.enqueue([Message(os.urandom(16), "q", b"")])
    assert mailboxes(path) == []


@pytest.mark.anyio
async def test_what_was_accepted_survives_the_death_of_its_process(
    start: Start, driver: SqliteDriver, consumer: Consumer
) -> None:
    producer = start(
        """
async def main():
    await driver.open()
    while True:
        one = message()
        await driver.enqueue([one])
        print(one.id.hex(), flush=True)
""",
    )
    accepted = [await asyncio.to_thread(producer.line) for _ in range(100)]
    accepted += producer.kill().split()
    stored = {lease.id.hex() for lease in await take(consumer, 1000)}
    assert stored >= {each for each in accepted if len(each) == 32}


@pytest.mark.anyio
async def test_a_fork_is_told_to_open_its_own_driver(start: Start) -> None:
    parent = start(
        """
async def main():
    await driver.open()
    async with driver.consumer(options) as consumer:
        await lease(consumer, 1)
        child = os.fork()
        if child == 0:
            try:
                asyncio.run(driver.ping())
            except BaseException as error:
                print(json.dumps(str(error)), flush=True)
            asyncio.run(driver.close())
            os._exit(0)
        os.waitpid(child, 0)
        assert len(os.listdir(sys.argv[1] + "-wake")) == 1
        await driver.enqueue([message()])
        assert len(await lease(consumer, 1)) == 1
    await driver.close()
""",
    )
    message = await asyncio.to_thread(parent.result)
    assert "fork" in message and "open a driver there" in message


def test_a_program_that_closes_nothing_ends_quietly(path: Path) -> None:
    script = f"""{PREAMBLE}
async def main():
    driver = SqliteDriver(SqliteSettings(path=sys.argv[1]), DriverOptions())
    await driver.open()
    await driver.enqueue([message()])
    consumer = await driver.consumer(options).__aenter__()
    [one] = await lease(consumer, 1)
    await consumer.settle([Ack(one)])
    await driver.results.wait([one.id], wait_ms=1)

asyncio.run(main())
asyncio.run(main())
"""
    run = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", script, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert mailboxes(path) == []
