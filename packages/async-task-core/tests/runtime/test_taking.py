"""Which tasks a worker takes, in what order, how many, and which it does not run."""

from __future__ import annotations

import asyncio
import logging
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgpack
import pytest
from async_task.config import Config
from async_task.core.codec import codec
from async_task.core.envelope import Envelope
from async_task.core.history import History
from async_task.core.queue_driver import QueueDriver
from async_task.core.registry import Registry
from async_task.core.task import Task, task
from async_task.drivers.plugin import CAPABILITIES
from async_task.errors import ConfigurationError
from async_task.runtime.worker import Worker
from async_task.spi.messages import Reject, Release

if TYPE_CHECKING:
    from runtime.conftest import Bench

pytestmark = pytest.mark.anyio

seen: list[Any] = []


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    seen.clear()


@task
async def note(x: object = None) -> None:
    seen.append(x)


async def test_queues_are_served_in_strict_order(bench: Bench) -> None:
    for i in range(5):
        for queue in ("low", "high", "default"):
            await bench.send(note(f"{queue}{i}").on_queue(queue))
    await bench.work("high", "default", "low", concurrency=1)
    assert seen == [f"{queue}{i}" for queue in ("high", "default", "low") for i in range(5)]


async def test_a_more_urgent_queue_is_served_first_as_soon_as_it_has_work(bench: Bench) -> None:
    @task(name="taking-chain")
    async def chain() -> None:
        seen.append("chain")
        await bench.send(note("urgent").on_queue("high"))

    await bench.send(chain().on_queue("low"), *(note(i).on_queue("low") for i in range(3)))
    await bench.work("high", "low", concurrency=1)
    assert seen == ["chain", "urgent", 0, 1, 2]


async def test_priorities_hold_within_a_queue(bench: Bench) -> None:
    await bench.send(note(0), note(5).priority(5), note(9).priority(9), note(1).priority(1))
    await bench.work(concurrency=1)
    assert seen == [9, 5, 1, 0]


async def test_queues_that_are_not_named_are_left_alone(bench: Bench) -> None:
    await bench.send(note(1), note(2).on_queue("other"))
    await bench.work()
    assert seen == [1]
    assert await bench.counts("other") == (1, 0, 0, 0)


async def test_the_default_queue_is_the_configurations(bench: Bench) -> None:
    await bench.send(note(1).on_queue("mine"), note(2))
    await Worker(bench.driver(default_queue="mine"), stop_when_empty=True).start()
    assert seen == [1]


@pytest.mark.parametrize("concurrency", [1, 4, 100])
async def test_max_tasks_are_run_exactly_whatever_the_concurrency(
    bench: Bench, concurrency: int
) -> None:
    await bench.send(*(note(i) for i in range(20)))
    worker = bench.start(concurrency=concurrency, max_tasks=7)
    await bench.ended(worker)
    assert len(seen) == 7
    assert await bench.counts() == (13, 0, 0, 0)
    assert worker.running == 0


async def test_no_more_run_at_once_than_the_concurrency(bench: Bench) -> None:
    now = most = 0

    @task(name="taking-counted")
    async def counted() -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        now -= 1

    await bench.send(*(counted() for _ in range(50)))
    await bench.work(concurrency=5)
    assert most == 5
    assert await bench.counts() == (0, 0, 0, 0)


@pytest.mark.parametrize(("max_batch", "most"), [(10, 10), (None, 1000)])
async def test_more_slots_than_one_call_may_lease_are_filled_by_several(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, max_batch: int | None, most: int
) -> None:
    limited = replace(CAPABILITIES, max_batch=max_batch)
    monkeypatch.setattr("async_task.drivers.memory.CAPABILITIES", limited)
    full = asyncio.Event()

    @task(name="taking-together")
    async def together() -> None:
        seen.append(1)
        if len(seen) == 25:
            full.set()
        await full.wait()

    await bench.send(*(together() for _ in range(25)))
    await bench.work(concurrency=1200)
    assert max(bench.faults.limits) == most
    assert await bench.counts() == (0, 0, 0, 0)


async def test_stopping_when_empty_leaves_what_is_delayed(bench: Bench) -> None:
    await bench.send(note(1), note(2).delay(60))
    await bench.work()
    assert seen == [1]
    assert await bench.counts() == (0, 1, 0, 0)


async def test_work_that_a_task_makes_is_worked_off_too(bench: Bench) -> None:
    @task(name="taking-more")
    async def more(n: int) -> None:
        seen.append(n)
        if n:
            await bench.send(more(n - 1))

    await bench.send(more(5))
    await bench.work(concurrency=1)
    assert seen == [5, 4, 3, 2, 1, 0]


async def test_two_workers_of_one_process_share_the_work(bench: Bench) -> None:
    both = asyncio.Barrier(2)

    @task(name="taking-shared")
    async def shared() -> None:
        async with asyncio.timeout(10):
            await both.wait()
        seen.append(1)

    await bench.send(shared(), shared())
    workers = [bench.start(concurrency=1, max_tasks=1) for _ in range(2)]
    for worker in workers:
        await bench.ended(worker)
    assert seen == [1, 1]


async def test_a_worker_waits_for_work_and_takes_it_at_once(bench: Bench) -> None:
    worker = bench.start(max_tasks=1)
    await worker.working.wait()
    await bench.send(note("late").delay(1))
    await bench.advance(1000)
    await bench.ended(worker)
    assert seen == ["late"]


async def test_a_paused_queue_is_not_served(bench: Bench) -> None:
    control = bench.queue_driver.driver.control
    assert control is not None
    await bench.send(note(1))
    await control.pause("default")
    await bench.work()
    assert seen == []
    await control.resume("default")
    await bench.work()
    assert seen == [1]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"concurrency": 0}, "concurrency must be at least 1, not 0"),
        ({"max_tasks": 0}, "max_tasks must be at least 1, not 0"),
        ({"queues": ["no spaces"]}, "queue name 'no spaces' is not valid"),
    ],
)
async def test_a_worker_that_cannot_be_is_refused(options: Any, reason: str) -> None:
    driver = QueueDriver.from_config(Config(driver="memory"))
    with pytest.raises(ConfigurationError, match=reason):
        Worker(driver, **options)


async def test_a_task_that_goes_elsewhere_is_named_at_start(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    tasks = Registry()

    @task(name="taking-stranger", queue="elsewhere")
    def stranger() -> None: ...

    @task(name="taking-foreigner", driver="redis")
    def foreigner() -> None: ...

    tasks.add(stranger.definition)
    tasks.add(foreigner.definition)
    tasks.add(note.definition)
    await bench.work(tasks=tasks)
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert warnings == [
        "task 'taking-stranger' goes to queue 'elsewhere', not served here",
        "task 'taking-foreigner' goes to driver redis, not served here",
    ]


@pytest.mark.parametrize("timeout", [60, 61])
async def test_a_task_that_would_outlast_its_lease_is_refused_at_start(
    bench: Bench, timeout: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited = replace(CAPABILITIES, max_visibility_ms=60_000)
    monkeypatch.setattr("async_task.drivers.memory.CAPABILITIES", limited)
    tasks = Registry()

    @task(name="taking-tireless", timeout=timeout)
    def tireless() -> None: ...

    tasks.add(tireless.definition)
    queue_driver = bench.driver()
    with pytest.raises(ConfigurationError, match=f"'taking-tireless' may run for {timeout} s"):
        await Worker(queue_driver, tasks=tasks).start()
    await Worker(queue_driver, ["other"], stop_when_empty=True, tasks=tasks).start()


async def test_an_unknown_task_is_put_off_longer_and_longer_uncharged(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    body = Envelope("taking-nobodys", codec().encode_arguments([], {}), 5).pack()
    await bench.put(body)
    delays: list[int] = []
    for _ in range(10):
        await bench.work()
        (release,) = bench.faults.settled[-1:]
        assert isinstance(release, Release)
        assert History.unpack(release.state).failures == 0
        delays.append(release.delay_ms)
        await bench.advance(release.delay_ms)
    assert delays == [5_000, 5_000, 10_000, 20_000, 40_000, 80_000, 160_000, *[300_000] * 3]
    assert "no task 'taking-nobodys' is known here" in caplog.text

    tasks = Registry()

    @task(name="taking-nobodys")
    def known_after_all() -> None:
        seen.append("ran")

    tasks.add(known_after_all.definition)
    await bench.work(tasks=tasks)
    assert seen == ["ran"]


@pytest.mark.parametrize(
    "body",
    [
        Envelope("x" * 500_000, b"", 5).pack(),
        msgpack.packb([2, "later"]),
    ],
    ids=["name", "version"],
)
async def test_after_a_day_an_unknown_task_is_a_dead_letter(
    bench: Bench, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.put(body)
    for _ in range(300):
        await bench.work(tasks=Registry())
        if isinstance(bench.faults.settled[-1], Reject):
            break
        await bench.advance(300_000)
    (dead,) = await bench.dead()
    assert (dead.reason, dead.failures) == ("unknown_task", 0)
    assert 280 < dead.deliveries < 300
    assert all(len(record.getMessage()) < 1000 for record in caplog.records)


async def test_one_line_a_minute_about_an_unknown_task(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    body = Envelope("taking-nobodys-either", codec().encode_arguments([], {}), 5).pack()
    for _ in range(100):
        await bench.put(body)
    await bench.work()
    assert caplog.text.count("taking-nobodys-either") == 1
    assert await bench.counts() == (0, 100, 0, 0)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"\xff" * 100,
        b"[1, 2]",
        msgpack.packb({"task": "x"}),
        Envelope(note.name, b"\xc1", 5).pack(),
        Envelope(note.name, msgpack.packb(5), 5).pack(),
        Envelope(note.name, codec().encode_arguments([], {}), 2**62).pack(),
        Envelope(note.name, b"x" * 2_000_000, 5).pack(),
    ],
)
async def test_what_cannot_be_decoded_goes_straight_to_the_dead_letters(
    bench: Bench, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.put(body)
    await bench.work()
    (dead,) = await bench.dead()
    assert (dead.reason, dead.body, dead.deliveries) == ("bad_payload", body, 1)
    assert dead.errors
    assert seen == []
    assert dead.id in caplog.text
    assert all(len(record.getMessage()) < 1000 for record in caplog.records)


async def test_a_state_that_was_mangled_stands_in_nobodys_way(bench: Bench) -> None:
    await bench.send(note(1))
    (lease,) = await bench.take()
    driver = bench.driver()
    await driver.connect()
    from async_task.spi.driver import ConsumerOptions

    consuming = ConsumerOptions(queues=("default",), max_leases=1)
    async with driver.driver.consumer(consuming) as consumer:
        await consumer.settle([Release(lease, 0, b"\xc1mangled")])
    await bench.work()
    assert seen == [1]


async def test_a_task_not_started_in_time_expires_and_is_told(bench: Bench) -> None:
    class Urgent(Task[None], name="taking-urgent"):
        async def handle(self) -> None:
            seen.append("ran")

        async def failed(self, exception: Exception) -> None:
            seen.append(str(exception))

    await bench.send(Urgent().expires_in(10), Urgent().expires_in(20))
    await bench.advance(10_001)
    await bench.work()
    assert sorted(seen) == ["it was not started within expires_in", "ran"]
    (dead,) = await bench.dead()
    assert (dead.reason, dead.failures) == ("expired", 0)


async def test_a_retry_does_not_expire(bench: Bench) -> None:
    @task(name="taking-retried", retry_delay=60, max_retries=1)
    async def retried() -> None:
        seen.append(1)
        raise ValueError

    await bench.send(retried().expires_in(10))
    await bench.work()
    await bench.advance(60_000)
    await bench.work()
    assert seen == [1, 1]
    (dead,) = await bench.dead()
    assert dead.reason == "failed"


async def test_one_crash_is_forgiven_in_the_same_process(bench: Bench) -> None:
    await bench.send(note(1))
    await bench.take()
    await bench.advance(30_001)
    await bench.work()
    assert seen == [1]


async def test_an_id_that_is_no_uuid7_is_no_obstacle(bench: Bench) -> None:
    body = Envelope(note.name, codec().encode_arguments([3], {}), 5).pack()
    message_id = await bench.put(body)
    assert uuid.UUID(bytes=message_id).version == 4
    await bench.work()
    assert seen == [3]
