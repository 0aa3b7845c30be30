"""Who listens hears of everything that happens to tasks, once, where it happens."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
from async_task.core.events import EventKind, TaskEvent, listen, unlisten
from async_task.core.retry import RejectTask, ReleaseTask
from async_task.core.task import task
from async_task.errors import ConnectionLostError

if TYPE_CHECKING:
    from runtime.conftest import Bench

pytestmark = pytest.mark.anyio

SHORT = {"visibility_timeout": 1}


class Heard:
    """What was heard, and waiting for more."""

    def __init__(self) -> None:
        self.events: list[TaskEvent] = []
        self._news = asyncio.Event()

    def __call__(self, event: TaskEvent) -> None:
        self.events.append(event)
        self._news.set()

    @property
    def kinds(self) -> list[EventKind]:
        return [event.kind for event in self.events]

    async def of(self, kind: EventKind) -> TaskEvent:
        """Wait for the first event of a kind."""
        while kind not in self.kinds:
            self._news.clear()
            await self._news.wait()
        return self.events[self.kinds.index(kind)]


@pytest.fixture
async def heard() -> Any:
    heard = Heard()
    listen(heard)
    yield heard
    unlisten(heard)


@task(name="events-ending", max_retries=1, retry_delay=0)
async def ending(how: str) -> None:
    raise {
        "fail": ValueError("no"),
        "release": ReleaseTask(60),
        "reject": RejectTask("never"),
    }[how]


@task(name="events-fine", queue="fine", result_ttl=60)
async def fine() -> int:
    return 1


@task(name="events-waiting")
async def waiting() -> None:
    await asyncio.Event().wait()


async def test_a_task_that_is_done(bench: Bench, heard: Heard) -> None:
    (handle,) = await bench.send(fine())
    assert heard.events == [
        TaskEvent(kind=EventKind.DISPATCHED, task_id=handle, task="events-fine", queue="fine")
    ]
    await bench.work("fine")
    assert heard.kinds == ["dispatched", "started", "done"]
    _, started, done = heard.events
    for event in (started, done):
        assert (event.task_id, event.task, event.queue) == (handle, "events-fine", "fine")
        assert (event.attempt, event.reason, event.error) == (0, None, None)
    assert started.duration_s is None
    assert done.duration_s is not None and done.duration_s >= 0


async def test_many_at_once_are_told_one_by_one(bench: Bench, heard: Heard) -> None:
    handles = await bench.dispatcher.dispatch_many(fine() for _ in range(5))
    assert [event.task_id for event in heard.events] == handles
    assert set(heard.kinds) == {"dispatched"}


async def test_a_task_that_fails_for_good(bench: Bench, heard: Heard) -> None:
    await bench.send(ending("fail"))
    await bench.work()
    assert heard.kinds == ["dispatched", "started", "retrying", "started", "dead"]
    _, _, retrying, again, dead = heard.events
    assert (retrying.attempt, retrying.error, retrying.reason) == (0, "ValueError: no", None)
    assert again.attempt == 1
    assert (dead.attempt, dead.error, dead.reason) == (1, "ValueError: no", "failed")
    assert dead.duration_s is not None


async def test_tasks_that_say_how_they_end(bench: Bench, heard: Heard) -> None:
    await bench.send(ending("release"))
    await bench.work()
    assert heard.kinds == ["dispatched", "started", "released"]
    assert (heard.events[-1].attempt, heard.events[-1].error) == (0, None)
    heard.events.clear()
    await bench.send(ending("reject"))
    await bench.work()
    assert heard.kinds == ["dispatched", "started", "dead"]
    assert (heard.events[-1].reason, heard.events[-1].error) == (
        "rejected",
        "async_task.core.retry.RejectTask: never",
    )


async def test_what_is_never_run_is_not_started(bench: Bench, heard: Heard) -> None:
    await bench.send(fine().expires_in(1))
    await bench.put(b"no message")
    await bench.advance(2000)
    await bench.work("default", "fine")
    assert sorted(heard.kinds) == ["dead", "dead", "dispatched"]
    dead = {event.queue: event for event in heard.events if event.kind is EventKind.DEAD}
    assert (dead["fine"].task, dead["fine"].reason) == ("events-fine", "expired")
    assert (dead["default"].task, dead["default"].reason) == (None, "bad_payload")


async def test_what_this_worker_does_not_know_is_put_back(bench: Bench, heard: Heard) -> None:
    from async_task.core.registry import Registry

    (handle,) = await bench.send(fine())
    await bench.work("fine", tasks=Registry())
    assert heard.kinds == ["dispatched", "released"]
    assert (heard.events[1].task_id, heard.events[1].task) == (handle, None)


async def test_a_task_that_is_cancelled_while_it_runs(bench: Bench, heard: Heard) -> None:
    (handle,) = await bench.send(waiting())
    bench.start(settings=SHORT)
    await heard.of(EventKind.STARTED)
    assert await bench.dispatcher.cancel(handle)
    cancelled = await heard.of(EventKind.CANCELLED)
    assert (cancelled.task_id, cancelled.task) == (handle, "events-waiting")
    assert cancelled.duration_s is not None
    assert heard.kinds == ["dispatched", "started", "cancelled"]


async def test_a_task_that_a_stopping_worker_puts_back(bench: Bench, heard: Heard) -> None:
    await bench.send(waiting())
    worker = bench.start()
    await heard.of(EventKind.STARTED)
    worker.stop_now()
    await bench.ended(worker)
    assert heard.kinds == ["dispatched", "started", "released"]


async def test_a_task_whose_lease_is_lost(bench: Bench, heard: Heard) -> None:
    (handle,) = await bench.send(waiting())
    bench.faults.always["extend"] = ConnectionLostError("gone")
    bench.start(settings=SHORT)
    lost = await heard.of(EventKind.LEASE_LOST)
    assert (lost.task_id, lost.task) == (handle, "events-waiting")
    assert heard.kinds == ["dispatched", "started", "lease_lost"]


async def test_a_listener_that_raises_breaks_nothing(
    bench: Bench, heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(event: TaskEvent) -> None:
        raise RuntimeError(f"cannot count {event.kind}")

    listen(broken)
    try:
        (handle,) = await bench.send(fine())
        await bench.work("fine")
    finally:
        unlisten(broken)
    assert await bench.dispatcher.result(handle, 5) == 1
    assert heard.kinds == ["dispatched", "started", "done"]
    for kind in heard.kinds:
        assert f"raised on {kind} of events-fine" in caplog.text
    assert "cannot count done" in caplog.text


async def test_without_listeners_no_event_is_made(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []
    monkeypatch.setattr(TaskEvent, "__init__", lambda *_, **fields: made.append(fields))
    await bench.send(fine(), ending("fail"), ending("release"), ending("reject"))
    await bench.work("default", "fine")
    assert await bench.counts() == (0, 1, 0, 2)
    assert made == []


async def test_listeners_are_called_in_the_loop_of_the_worker(bench: Bench, heard: Heard) -> None:
    where: list[int] = []

    @task(name="events-thread")
    def in_thread() -> None:
        where.append(threading.get_ident())

    def note(event: TaskEvent) -> None:
        where.append(threading.get_ident())

    listen(note)
    try:
        await bench.send(in_thread())
        await bench.work()
    finally:
        unlisten(note)
    assert heard.kinds == ["dispatched", "started", "done"]
    here = threading.get_ident()
    assert where[:2] == [here, here]
    assert where[2] != here
    assert where[3:] == [here]
