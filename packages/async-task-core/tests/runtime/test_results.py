"""Results: kept where asked for, awaited by one call, and what is said where there is none."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from async_task.config import Config
from async_task.core.codec import codec
from async_task.core.dispatcher import Dispatcher, bind_dispatcher
from async_task.core.handle import TaskHandle
from async_task.core.ids import id_bytes
from async_task.core.outcome import Outcome, TaskStatus
from async_task.core.pending import Fluent
from async_task.core.queue_driver import QueueDriver
from async_task.core.task import Task, task
from async_task.drivers.memory import MemoryDriver, MemorySettings
from async_task.drivers.memory_facets import MemoryResults
from async_task.errors import (
    AccessDeniedError,
    ConfigurationError,
    ConnectionLostError,
    DecodeError,
    ResultNotReadyError,
    TaskCancelledError,
    TaskFailedError,
)
from async_task.runtime.worker import Worker
from async_task.spi.driver import DriverOptions
from async_task.spi.messages import StoredResult

pytestmark = pytest.mark.anyio


class CountingResults(MemoryResults):
    """Counts calls that wait, and those under way; fails as told."""

    def __init__(self, driver: MemoryDriver) -> None:
        super().__init__(driver)
        self.calls: list[int] = []
        self.under_way = 0
        self.most = 0
        self.errors: list[Exception] = []
        self.news = asyncio.Event()

    async def wait(self, ids: Sequence[bytes], *, wait_ms: int) -> Mapping[bytes, bytes]:
        self.calls.append(len(ids))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        self.news.set()
        try:
            if self.errors:
                raise self.errors.pop(0)
            return await super().wait(ids, wait_ms=wait_ms)
        finally:
            self.under_way -= 1


class Desk:
    """A memory store on a clock moved by hand, a dispatcher on it, and work done on demand."""

    def __init__(self, **settings: Any) -> None:
        self.now_ms = 1_700_000_000_000
        self._name = uuid.uuid4().hex
        self._settings = settings
        self.driver = self._driver()
        self.results = CountingResults(self.driver.driver)  # type: ignore[arg-type]  # wraps any results
        self.driver.driver.results = self.results  # type: ignore[misc]  # read only elsewhere
        self.dispatcher = Dispatcher(self.driver)

    def _driver(self) -> QueueDriver:
        driver = MemoryDriver(
            MemorySettings(name=self._name), DriverOptions(), now_ms=lambda: self.now_ms
        )
        return QueueDriver(driver, name="memory", config=Config(driver="memory", **self._settings))

    async def send(self, call: Fluent[Any]) -> TaskHandle[Any]:
        return await self.dispatcher.dispatch(call)

    async def work(self) -> None:
        await Worker(self._driver(), stop_when_empty=True).start()

    async def put(self, body: bytes) -> TaskHandle[Any]:
        """Store a result as it is; return a handle of it."""
        handle = TaskHandle[Any](str(uuid.uuid4()))
        await self.driver.connect()
        await self.results.put({id_bytes(handle): StoredResult(body, 60_000)})
        return handle


@pytest.fixture
async def desk() -> Any:
    desk = Desk()
    bind_dispatcher(desk.dispatcher)
    yield desk
    bind_dispatcher(None)
    await desk.dispatcher.close()


@task(name="results-square", result_ttl=60)
async def square(n: int) -> int:
    return n * n


@task(name="results-silent")
async def silent() -> int:
    return 1


@task(name="results-odd", result_ttl=60, max_retries=0)
async def odd(what: str) -> object:
    if what == "object":
        return object()
    if what == "large":
        return b"x" * (2 << 20)
    raise ValueError(what)


async def test_many_handles_wait_by_one_call_at_a_time(desk: Desk) -> None:
    handles = [await desk.send(square(n)) for n in range(500)]
    waiting = [asyncio.create_task(handle.result(60)) for handle in handles]
    await desk.results.news.wait()
    assert desk.results.calls == [500]
    await desk.work()
    assert await asyncio.gather(*waiting) == [n * n for n in range(500)]
    assert desk.results.most == 1
    # One call for whatever has arrived meanwhile; never one per handle.
    assert len(desk.results.calls) < 100


async def test_handles_of_one_task_share_its_result(desk: Desk) -> None:
    handle = await desk.send(square(3))
    waiting = [asyncio.create_task(handle.result(60)) for _ in range(20)]
    await desk.results.news.wait()
    await desk.work()
    assert await asyncio.gather(*waiting) == [9] * 20
    assert desk.results.calls == [1]


async def test_one_who_gives_up_disturbs_no_other(desk: Desk) -> None:
    handle, other = await desk.send(square(3)), await desk.send(square(4))
    patient = asyncio.create_task(other.result(60))
    with pytest.raises(ResultNotReadyError, match=f"{handle} has not ended within 0.01 s"):
        await handle.result(0.01)
    cancelled = asyncio.create_task(other.result())
    await asyncio.sleep(0)
    cancelled.cancel()
    await desk.work()
    assert await patient == 16
    assert await handle.result(60) == 9
    with pytest.raises(asyncio.CancelledError):
        await cancelled


async def test_a_backend_that_fails_is_asked_again_unless_it_refuses(desk: Desk) -> None:
    handle = await desk.send(square(3))
    await desk.work()
    desk.results.errors = [ConnectionLostError("gone")]
    assert await handle.result(60) == 9
    for final in (AccessDeniedError("no"), ZeroDivisionError("a bug")):
        desk.results.errors = [final]
        with pytest.raises(type(final)):
            await handle.result(60)
    assert await handle.result(60) == 9  # and who asks later, asks anew


async def test_a_failure_is_told_as_text(desk: Desk) -> None:
    handle = await desk.send(odd("reason"))
    await desk.work()
    with pytest.raises(TaskFailedError, match=r"is dead \(failed\): ValueError: reason") as caught:
        await handle.result(60)
    assert (caught.value.reason, caught.value.type) == ("failed", "ValueError")
    assert "raise ValueError(what)" in caught.value.traceback
    assert await handle.status() == "failed"


async def test_one_that_was_never_started_failed(desk: Desk) -> None:
    handle = await desk.send(square(3).expires_in(1))
    desk.now_ms += 2_000
    await desk.work()
    with pytest.raises(TaskFailedError, match="expires_in") as caught:
        await handle.result(60)
    assert caught.value.reason == "expired"


async def test_one_that_was_cancelled(desk: Desk) -> None:
    handle = await desk.send(square(3))
    assert await handle.cancel()
    with pytest.raises(TaskCancelledError, match=f"{handle} was cancelled"):
        await handle.result(60)


async def test_a_result_is_gone_when_its_time_is_up(desk: Desk) -> None:
    handle = await desk.send(square(3))
    await desk.work()
    desk.now_ms += 59_999
    assert await handle.result(60) == 9
    assert await handle.status() is TaskStatus.DONE
    desk.now_ms += 1
    assert await handle.status() is TaskStatus.UNKNOWN
    with pytest.raises(ResultNotReadyError):
        await handle.result(0.01)


@pytest.mark.parametrize(
    ("what", "problem"), [("object", "object"), ("large", "bytes")], ids=["unencodable", "large"]
)
async def test_a_result_that_cannot_be_kept_costs_no_work(
    desk: Desk, caplog: pytest.LogCaptureFixture, what: str, problem: str
) -> None:
    handle = await desk.send(odd(what))
    await desk.work()
    with pytest.raises(TaskFailedError, match=rf"bad_result.*EncodeError: .*{problem}") as caught:
        await handle.result(60)
    assert caught.value.reason == "bad_result"
    assert "is done, but its result cannot be kept" in caplog.text
    (stats,) = await desk.driver.stats(["default"])
    assert (stats.ready, stats.leased, stats.dead) == (0, 0, 0)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"\x91\x63",
        Outcome(TaskStatus.DONE, b"\xc1").pack(),
        Outcome(TaskStatus.DONE, codec().encode([1])[:-1]).pack(),
    ],
    ids=["empty", "bytes", "version", "value", "cut"],
)
async def test_what_cannot_be_read_says_so(desk: Desk, body: bytes) -> None:
    handle = await desk.put(body)
    with pytest.raises(DecodeError):
        await handle.result(60)


async def test_none_is_kept_unless_asked_for(desk: Desk) -> None:
    handle = await desk.send(silent())
    await desk.work()
    with pytest.raises(ConfigurationError, match=r"'results-silent' keeps no result.*result_ttl="):
        await handle.result()
    assert await handle.status() == "unknown"
    assert desk.results.calls == []


async def test_all_are_kept_where_the_configuration_says_so() -> None:
    class Modest(Task[int], name="results-modest"):
        result_ttl = 0

        async def handle(self) -> int:
            return 2

    desk = Desk(default_result_ttl=60)
    bind_dispatcher(desk.dispatcher)
    try:
        kept, modest = await desk.send(silent()), await desk.send(Modest())
        await desk.work()
        assert await kept.result(60) == 1
        with pytest.raises(ConfigurationError, match="keeps no result"):
            await modest.result(60)
        desk.now_ms += 60_000
        assert await kept.status() == "unknown"
    finally:
        bind_dispatcher(None)
        await desk.dispatcher.close()
