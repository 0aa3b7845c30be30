"""What arguments refer to is fetched before a task runs, together with that of others."""

from __future__ import annotations

import asyncio
import sys
import types
from collections.abc import AsyncGenerator, Hashable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from async_task import Task, task
from async_task.core import references
from async_task.core.codec import codec
from async_task.errors import TaskCancelledError
from async_task.plugins.manager import plugins
from async_task.serialization.hooks import Fetched
from async_task.spi.plugin import CodecInfo

pytestmark = pytest.mark.anyio


@dataclass
class Row:
    key: int


class Rows:
    """A codec of rows that are all there, but for what a test says of them."""

    tag = "a_row"

    def __init__(self) -> None:
        self.fetches: list[list[Hashable]] = []
        self.open = 0
        self.poison: Hashable = None
        self.gone: Hashable = None
        self.hangs: asyncio.Event | None = None
        self.fetching = asyncio.Event()
        self.cancelled = 0
        self.close: Any = lambda: asyncio.sleep(0)

    def handles(self, value: object) -> bool:
        return isinstance(value, Row)

    def encode(self, value: object) -> object:
        assert isinstance(value, Row)
        return value.key

    def decode(self, data: object) -> object:
        assert type(data) is int
        return data

    async def fetch(self, references: Sequence[Hashable]) -> Fetched:
        self.fetches.append(list(references))
        self.fetching.set()
        if self.poison in references:
            raise OSError("the database is away")
        if self.hangs is not None:
            try:
                await self.hangs.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        return self

    @asynccontextmanager
    async def opened(
        self, references: Sequence[Hashable]
    ) -> AsyncGenerator[Mapping[Hashable, object]]:
        if self.gone in references:
            raise TaskCancelledError(f"{self.gone} is gone")
        self.open += 1
        try:
            yield {key: Row(key) for key in references if isinstance(key, int)}
        finally:
            await self.close()
            self.open -= 1


seen: list[Any] = []


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rows]:
    rows, module = Rows(), types.ModuleType("rows_of_a_test")
    module.codec = rows  # type: ignore[attr-defined]  # made here
    monkeypatch.setitem(sys.modules, module.__name__, module)
    info = CodecInfo(name=rows.tag, target=f"{module.__name__}:codec")
    monkeypatch.setitem(plugins().codecs, rows.tag, info)
    codec.cache_clear()
    seen.clear()
    yield rows
    codec.cache_clear()


@task
async def look(row: Any) -> None:
    seen.append(row)


@task
def look_blocking(row: Any) -> None:
    seen.append(row)


@task(timeout=0.05, max_retries=0)
async def hurry(row: Any) -> None:
    seen.append(row)


@task(timeout=0.05, max_retries=0)
def hurry_blocking(row: Any) -> None:
    seen.append(row)


@task(result_ttl=60)
async def keep(row: Any) -> Any:
    return row


async def test_what_is_taken_together_is_fetched_together(bench: Any, rows: Rows) -> None:
    await bench.send(
        *(look(Row(n)) for n in range(20)), look({"a": [Row(1)]}), look_blocking(Row(1))
    )
    await bench.send(look("no row"))
    await bench.work(concurrency=30)
    assert len(rows.fetches) == 1
    assert sorted(rows.fetches[0]) == list(range(20))  # type: ignore[type-var]  # numbers, here
    assert seen.count(Row(1)) == 2
    assert {"a": [Row(1)]} in seen
    assert rows.open == 0


async def test_one_that_starts_later_has_its_values_too(bench: Any, rows: Rows) -> None:
    await bench.send(*(look(Row(n)) for n in range(5)))
    await bench.work(concurrency=4)
    assert sorted(row.key for row in seen) == [0, 1, 2, 3, 4]


async def test_a_neighbour_that_cannot_be_fetched_fails_alone(bench: Any, rows: Rows) -> None:
    rows.poison = 3
    await bench.send(*(look(Row(n)).retry_after(60) for n in range(5)))
    await bench.work(concurrency=10)
    assert sorted(row.key for row in seen) == [0, 1, 2, 4]
    assert await bench.counts() == (0, 1, 0, 0)
    rows.poison = None
    await bench.advance(60_000)
    await bench.work()
    assert seen[-1] == Row(3)


async def test_what_is_gone_ends_the_task_without_a_run(bench: Any, rows: Rows) -> None:
    rows.gone = 1
    await bench.send(look(Row(1)), look(Row(2)))
    await bench.work()
    assert seen == [Row(2)]
    assert await bench.counts() == (0, 0, 0, 0)


async def test_a_fetch_counts_towards_the_timeout(bench: Any, rows: Rows) -> None:
    rows.hangs = asyncio.Event()
    await bench.send(hurry(Row(1)), hurry_blocking(Row(2)))
    await bench.work()
    assert [dead.errors[-1].type for dead in await bench.dead()] == [
        "async_task.errors.TaskTimeoutError"
    ] * 2
    assert (seen, rows.cancelled) == ([], 1)


async def test_a_worker_that_stops_leaves_a_fetch_behind(bench: Any, rows: Rows) -> None:
    rows.hangs = asyncio.Event()
    await bench.send(look(Row(1)))
    worker = bench.start()
    await rows.fetching.wait()
    worker.stop_now()
    await bench.ended(worker)
    assert rows.cancelled == 1
    assert await bench.counts() == (1, 0, 0, 0)  # put back, uncharged


async def test_a_fetch_goes_on_for_who_still_waits(bench: Any, rows: Rows) -> None:
    rows.hangs = asyncio.Event()
    await bench.send(hurry(Row(1)), look(Row(2)))
    worker = bench.start()
    while not await bench.dead():
        await bench.faults.called("settle", 1)
    rows.hangs.set()
    await bench.faults.called("settle", 1)
    assert (seen, rows.cancelled, len(rows.fetches)) == ([Row(2)], 0, 1)
    worker.stop()
    await bench.ended(worker)


class Tell(Task[None]):
    max_retries = 0

    def __init__(self, row: Any) -> None:
        self.row = row

    async def handle(self) -> None:
        raise RuntimeError

    async def failed(self, exception: Exception) -> None:
        from_codec = codec().reference_codecs["a_row"]
        assert isinstance(from_codec, Rows)
        seen.append((self.row, from_codec.open))


async def test_failed_runs_while_its_values_are_open(bench: Any, rows: Rows) -> None:
    await bench.send(Tell(Row(1)))
    await bench.work()
    assert (seen, rows.open) == ([(Row(1), 1)], 0)


async def test_an_end_that_does_not_close_changes_nothing(
    bench: Any, rows: Rows, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(references, "CLOSE_S", 0.01)
    rows.close = asyncio.Event().wait
    await bench.send(look(Row(1)))
    await bench.work()

    async def fail() -> None:
        raise OSError("the connection broke")

    rows.close = fail
    await bench.send(look(Row(2)))
    await bench.work()
    assert seen == [Row(1), Row(2)]
    assert await bench.counts() == (0, 0, 0, 0)
    assert "TimeoutError" in caplog.text
    assert "the connection broke" in caplog.text


async def test_a_result_is_fetched_for_who_asks(bench: Any, rows: Rows) -> None:
    (handle,) = await bench.send(keep([Row(1)]))
    await bench.work()
    assert await bench.dispatcher.result(handle, timeout=5) == [Row(1)]
    assert rows.open == 0
