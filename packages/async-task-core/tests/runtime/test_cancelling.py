"""A cancelled task: gone where it waits, told where it runs, and never run again."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
from async_task.core.events import EventKind, TaskEvent, listen, unlisten
from async_task.core.outcome import TaskStatus
from async_task.core.task import task
from async_task.errors import TaskCancelledError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime.conftest import Bench

pytestmark = pytest.mark.anyio

SHORT = {"visibility_timeout": 1}
TTL_MS = 60_000

started = asyncio.Event()
go_on = threading.Event()
seen: list[str] = []


@pytest.fixture(autouse=True)
def fresh() -> None:
    global started
    started = asyncio.Event()
    go_on.clear()
    seen.clear()


@pytest.fixture
def kinds() -> Iterator[list[EventKind]]:
    found: list[EventKind] = []

    def note(event: TaskEvent) -> None:
        found.append(event.kind)

    listen(note)
    yield found
    unlisten(note)


@task(name="cancelling-obedient", result_ttl=60)
async def obedient() -> None:
    started.set()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        seen.append("told")
        raise


@task(name="cancelling-stubborn", result_ttl=60)
async def stubborn() -> str:
    started.set()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        seen.append("told")
    return "finished"


def _thread_task(loop: asyncio.AbstractEventLoop) -> Any:
    @task(name=f"cancelling-thread-{id(loop)}", result_ttl=60)
    def in_thread() -> str:
        loop.call_soon_threadsafe(started.set)
        go_on.wait()
        return "finished"

    return in_thread


async def _status(bench: Bench, handle: str) -> TaskStatus:
    return await bench.dispatcher.status(handle)


@pytest.mark.parametrize("delay", [0, 60])
async def test_one_that_waits_is_gone_at_once(bench: Bench, delay: float) -> None:
    (handle,) = await bench.send(obedient().delay(delay))
    assert await _status(bench, handle) == ("delayed" if delay else "ready")
    assert await bench.dispatcher.cancel(handle, TTL_MS)
    assert await bench.counts() == (0, 0, 0, 0)
    assert await _status(bench, handle) == "cancelled"
    with pytest.raises(TaskCancelledError):
        await bench.dispatcher.result(handle, 5)
    assert not await bench.dispatcher.cancel(handle, TTL_MS)
    await bench.work()
    assert not started.is_set()


async def test_that_it_was_cancelled_is_kept_only_if_its_result_would_be(bench: Bench) -> None:
    (handle,) = await bench.send(obedient())
    assert await bench.dispatcher.cancel(handle)
    assert await _status(bench, handle) == "unknown"


@pytest.mark.parametrize("body", [obedient, stubborn], ids=["obedient", "stubborn"])
async def test_a_coroutine_is_told_with_the_next_renewal(
    bench: Bench, kinds: list[EventKind], body: Any
) -> None:
    (handle,) = await bench.send(body())
    worker = bench.start(settings=SHORT)
    await started.wait()
    assert await _status(bench, handle) == "running"
    assert await bench.dispatcher.cancel(handle, TTL_MS)
    renewals = bench.faults.calls["extend"]
    with pytest.raises(TaskCancelledError):
        await bench.dispatcher.result(handle, 60)
    assert bench.faults.calls["extend"] <= renewals + 3  # the first one told it
    assert seen == ["told"]
    assert kinds == ["dispatched", "started", "cancelled"]
    assert await _status(bench, handle) == "cancelled"
    assert not await bench.dispatcher.cancel(handle, TTL_MS)
    worker.stop()
    await bench.ended(worker)
    assert await bench.counts() == (0, 0, 0, 0)


async def test_what_a_thread_comes_to_is_dropped(bench: Bench, kinds: list[EventKind]) -> None:
    (handle,) = await bench.send(_thread_task(asyncio.get_running_loop())())
    worker = bench.start(settings=SHORT)
    await started.wait()
    assert await bench.dispatcher.cancel(handle, TTL_MS)
    await bench.faults.called("extend", 2)
    assert await _status(bench, handle) == "running"
    go_on.set()
    with pytest.raises(TaskCancelledError):
        await bench.dispatcher.result(handle, 60)
    worker.stop()
    await bench.ended(worker)
    assert kinds == ["dispatched", "started", "cancelled"]
    assert await bench.counts() == (0, 0, 0, 0)


async def test_one_that_is_dead_cannot_be_cancelled(bench: Bench) -> None:
    @task(name="cancelling-failing", max_retries=0)
    async def failing() -> None:
        raise ValueError

    (handle,) = await bench.send(failing())
    await bench.work()
    assert await _status(bench, handle) == "failed"
    assert not await bench.dispatcher.cancel(handle)
    assert await bench.counts() == (0, 0, 0, 1)
