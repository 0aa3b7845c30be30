"""Ending runs early: timeouts, cancelling, and a worker that stops."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest
from async_task.core.ids import id_bytes
from async_task.core.task import Task, task
from async_task.spi.messages import MessageState

if TYPE_CHECKING:
    from runtime.conftest import Bench

pytestmark = pytest.mark.anyio

SHORT = {"visibility_timeout": 1}
"""Leases that are renewed every third of a second, so that workers learn of things soon."""

seen: list[Any] = []


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    seen.clear()


class Sleeper:
    """A task that says when it runs and waits until it is let go, or is cancelled."""

    def __init__(self, name: str, **options: Any) -> None:
        self.runs = asyncio.Event()
        self.go = asyncio.Event()

        @task(name=name, retry_delay=0, **options)
        async def sleeper() -> None:
            seen.append("began")
            self.runs.set()
            try:
                await self.go.wait()
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise
            seen.append("ended")

        self.task = sleeper


async def test_a_run_past_its_timeout_is_a_failure(bench: Bench) -> None:
    sleeper = Sleeper("stopping-timeout", timeout=0.01, max_retries=1)
    await bench.send(sleeper.task())
    await bench.work()
    assert seen == ["began", "cancelled"] * 2
    (dead,) = await bench.dead()
    assert (dead.reason, dead.failures) == ("failed", 2)
    assert dead.errors[-1].type == "async_task.errors.TaskTimeoutError"
    assert dead.errors[-1].message == "ran longer than its timeout of 0.01 s"


async def test_a_thread_past_its_timeout_keeps_its_slot_and_is_a_failure(bench: Bench) -> None:
    go = threading.Event()

    @task(name="stopping-thread", timeout=0.01, max_retries=0)
    def blocking() -> None:
        seen.append("began")
        go.wait(10)
        seen.append("ended")

    @task(name="stopping-neighbour")
    async def neighbour() -> None:
        seen.append("neighbour")
        await asyncio.sleep(0.1)  # past the timeout, of which nobody is told
        go.set()

    await bench.send(blocking(), neighbour())
    await bench.work(concurrency=2)
    assert seen == ["began", "neighbour", "ended"]
    (dead,) = await bench.dead()
    assert dead.errors[-1].type == "async_task.errors.TaskTimeoutError"


async def test_a_task_that_returns_in_spite_of_its_timeout_is_done(bench: Bench) -> None:
    @task(name="stopping-stubborn", timeout=0.01)
    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("finishing")

    await bench.send(stubborn())
    await bench.work()
    assert seen == ["finishing"]
    assert await bench.counts() == (0, 0, 0, 0)


async def test_a_timeout_counts_the_body_and_failed_has_as_much_again(bench: Bench) -> None:
    class Slow(Task[None], name="stopping-slow-failed"):
        timeout = 1
        max_retries = 0

        async def handle(self) -> None:
            await asyncio.sleep(0.6)
            raise ValueError

        async def failed(self, exception: Exception) -> None:
            await asyncio.sleep(0.6)
            seen.append(type(exception))

    await bench.send(Slow())
    await bench.work()
    assert seen == [ValueError]
    assert await bench.counts() == (0, 0, 0, 1)


async def test_failed_that_does_not_end_is_ended(bench: Bench) -> None:
    class Endless(Task[None], name="stopping-endless-failed"):
        timeout = 0.02
        max_retries = 0

        async def handle(self) -> None:
            raise ValueError

        async def failed(self, exception: Exception) -> None:
            seen.append("told")
            await asyncio.Event().wait()

    await bench.send(Endless())
    await bench.work()
    assert seen == ["told"]
    assert await bench.counts() == (0, 0, 0, 1)


async def test_a_ready_task_that_is_cancelled_is_gone(bench: Bench) -> None:
    sleeper = Sleeper("stopping-cancel-ready")
    (handle,) = await bench.send(sleeper.task())
    control = bench.queue_driver.driver.control
    assert control is not None
    assert await control.cancel([id_bytes(handle)]) == [MessageState.READY]
    await bench.work()
    assert seen == []


async def test_a_running_task_that_is_cancelled_ends_and_does_not_run_again(
    bench: Bench,
) -> None:
    sleeper = Sleeper("stopping-cancel-running")
    (handle,) = await bench.send(sleeper.task())
    worker = bench.start(settings=SHORT, max_tasks=1)
    await sleeper.runs.wait()
    control = bench.queue_driver.driver.control
    assert control is not None
    assert await control.cancel([id_bytes(handle)]) == [MessageState.LEASED]
    await bench.ended(worker)
    assert seen == ["began", "cancelled"]
    assert await bench.counts() == (0, 0, 0, 0)
    assert await bench.dead() == []


async def test_a_thread_that_is_cancelled_runs_to_its_end_and_not_again(bench: Bench) -> None:
    runs, go = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    @task(name="stopping-cancel-thread")
    def blocking() -> None:
        loop.call_soon_threadsafe(runs.set)
        go.wait(10)
        seen.append("ended")
        raise ValueError

    (handle,) = await bench.send(blocking())
    worker = bench.start(settings=SHORT, max_tasks=1)
    await runs.wait()
    control = bench.queue_driver.driver.control
    assert control is not None
    await control.cancel([id_bytes(handle)])
    await bench.faults.called("extend", 2)  # it has been told
    go.set()
    await bench.ended(worker)
    assert seen == ["ended"]
    assert await bench.counts() == (0, 0, 0, 0)


async def test_a_worker_that_stops_lets_running_tasks_finish_and_takes_no_more(
    bench: Bench,
) -> None:
    sleeper = Sleeper("stopping-gently")
    await bench.send(sleeper.task(), sleeper.task())
    worker = bench.start(concurrency=1)
    await sleeper.runs.wait()
    worker.stop()
    sleeper.go.set()
    await bench.ended(worker)
    assert seen == ["began", "ended"]
    assert await bench.counts() == (1, 0, 0, 0)


async def test_what_is_not_done_within_the_grace_time_goes_back_uncharged(bench: Bench) -> None:
    sleeper = Sleeper("stopping-grace", max_retries=0)
    await bench.send(sleeper.task())
    worker = bench.start(grace=0.01)
    await sleeper.runs.wait()
    worker.stop()
    await bench.ended(worker)
    assert seen == ["began", "cancelled"]
    assert await bench.counts() == (1, 0, 0, 0)
    sleeper.go.set()
    await bench.work()
    assert seen[2:] == ["began", "ended"]
    assert await bench.counts() == (0, 0, 0, 0)


async def test_stopping_at_once_waits_for_no_grace_time(bench: Bench) -> None:
    sleeper = Sleeper("stopping-at-once")
    await bench.send(sleeper.task())
    worker = bench.start(grace=600)
    await sleeper.runs.wait()
    worker.stop()
    worker.stop_now()
    await bench.ended(worker)
    assert seen == ["began", "cancelled"]
    assert await bench.counts() == (1, 0, 0, 0)


async def test_a_worker_stopped_before_it_starts_does_nothing(bench: Bench) -> None:
    sleeper = Sleeper("stopping-before")
    await bench.send(sleeper.task())
    worker = bench.start()
    worker.stop()
    await bench.ended(worker)
    assert seen == []


async def test_a_failure_for_good_is_not_forgotten_when_the_worker_stops_meanwhile(
    bench: Bench,
) -> None:
    told = asyncio.Event()

    class Failing(Task[None], name="stopping-in-failed"):
        max_retries = 0

        async def handle(self) -> None:
            seen.append("ran")
            raise ValueError

        async def failed(self, exception: Exception) -> None:
            seen.append("told")
            if not told.is_set():
                told.set()
                await asyncio.Event().wait()

    await bench.send(Failing())
    worker = bench.start(grace=0)
    await told.wait()
    worker.stop()
    await bench.ended(worker)
    assert await bench.counts() == (1, 0, 0, 0)
    await bench.work()
    assert seen == ["ran", "told", "told"]
    (dead,) = await bench.dead()
    assert (dead.reason, dead.failures) == ("failed", 1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_every_worker_of_the_process(
    bench: Bench, number: signal.Signals
) -> None:
    first, second = Sleeper("stopping-signal-1"), Sleeper("stopping-signal-2")
    await bench.send(first.task().on_queue("one"), second.task().on_queue("two"))
    before = signal.getsignal(number)
    workers = [bench.start("one"), bench.start("two")]
    await asyncio.gather(first.runs.wait(), second.runs.wait())
    os.kill(os.getpid(), number)
    await asyncio.sleep(0)
    first.go.set()
    second.go.set()
    for worker in workers:
        await bench.ended(worker)
    assert sorted(seen) == ["began", "began", "ended", "ended"]
    assert signal.getsignal(number) is before


async def test_a_signal_stops_the_worker_that_is_left(bench: Bench) -> None:
    first, second = Sleeper("stopping-left-1"), Sleeper("stopping-left-2")
    await bench.send(first.task().on_queue("one"), second.task().on_queue("two"))
    left = bench.start("one")
    other = bench.start("two")
    await asyncio.gather(first.runs.wait(), second.runs.wait())
    second.go.set()
    other.stop()
    await bench.ended(other)
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGINT)
    await bench.ended(left)
    assert await bench.counts("one") == (1, 0, 0, 0)


async def test_a_worker_in_another_thread_touches_no_signal(bench: Bench) -> None:
    before = signal.getsignal(signal.SIGTERM)
    during: list[object] = []

    @task(name="stopping-elsewhere")
    def look() -> None:
        during.append(signal.getsignal(signal.SIGTERM))

    await bench.send(look())
    worker_driver = bench.driver()

    def work() -> None:
        from async_task.runtime.worker import Worker

        async def main() -> None:
            await Worker(worker_driver, stop_when_empty=True).start()

        asyncio.run(main())

    await asyncio.to_thread(work)
    assert during == [before]
