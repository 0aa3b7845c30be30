"""The fake queue that applications test with."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import Any
from unittest.mock import ANY

import pytest
from async_task import SyncTask, Task, current_context, task
from async_task.core.middleware import Middleware, add_middleware, remove_middleware
from async_task.core.outcome import TaskStatus
from async_task.errors import TaskArgumentsError
from async_task.testing.fake import FakeQueue

done: list[Any] = []


@pytest.fixture(autouse=True)
def _nothing_done() -> None:
    done.clear()


@task
async def welcome(to: str, *, subject: str = "Welcome") -> None:
    done.append((to, subject))


@task(queue="reports")
def report(number: int) -> None:
    done.append(number)
    welcome(f"reader {number}").dispatch_sync()


class Flaky(Task[int]):
    max_retries = 2
    retry_delay = 60
    result_ttl = 10_000

    def __init__(self, right_at: int) -> None:
        self.right_at = right_at

    async def handle(self) -> int:
        if self._attempts < self.right_at:
            raise ValueError("not yet")
        return self._attempts

    async def failed(self, exception: Exception) -> None:
        done.append(f"gave up: {exception}")


class Slow(SyncTask[None]):
    def handle_sync(self) -> None:
        done.append(current_context().task)


def test_it_records_what_was_sent_and_how(fake_queue: FakeQueue) -> None:
    async def shop() -> None:
        await welcome.dispatch("ada")
        await welcome("bob", subject="Hi").on_queue("high").delay(60).priority(3).dispatch()

    asyncio.run(shop())
    fake_queue.assert_dispatched(welcome)
    fake_queue.assert_dispatched(welcome, times=2)
    fake_queue.assert_dispatched(welcome, {"to": "ada"}, times=1, delayed=0)
    fake_queue.assert_dispatched(welcome, {"subject": "Hi"}, on_queue="high", delayed=60)
    fake_queue.assert_not_dispatched(welcome, {"to": "cleo"})
    fake_queue.assert_not_dispatched(report)
    assert fake_queue.sent(welcome)[1].priority == 3
    assert done == []


def test_its_assertions_say_what_was_sent_instead(fake_queue: FakeQueue) -> None:
    fake_queue.assert_nothing_dispatched()
    asyncio.run(welcome.dispatch("ada"))
    with pytest.raises(AssertionError, match=r"welcome.*'to': 'ada'.*to default"):
        fake_queue.assert_nothing_dispatched()
    with pytest.raises(AssertionError, match="dispatched 1 times like that, not 2 times"):
        fake_queue.assert_dispatched(welcome, times=2)
    with pytest.raises(AssertionError, match="dispatched 0 times like that, not at least once"):
        fake_queue.assert_dispatched(welcome, {"to": "bob"})


def test_arguments_are_checked_as_in_production(fake_queue: FakeQueue) -> None:
    async def wrong() -> None:
        await welcome.dispatch(wrong="x")  # type: ignore[call-overload]  # a mistake on purpose

    with pytest.raises(TaskArgumentsError):
        asyncio.run(wrong())
    fake_queue.assert_nothing_dispatched()


@pytest.mark.anyio
async def test_run_runs_what_is_due_and_what_that_sends(fake_queue: FakeQueue) -> None:
    await report.dispatch(7)
    await welcome("later").delay(5).dispatch()
    assert await fake_queue.run() == 2
    assert done == [7, ("reader 7", "Welcome")]
    fake_queue.advance(5)
    assert await fake_queue.run() == 1
    assert done[-1] == ("later", "Welcome")


@pytest.mark.anyio
async def test_run_all_moves_the_clock_through_retries(fake_queue: FakeQueue) -> None:
    handle = await Flaky(2).dispatch()
    assert await fake_queue.run() == 1
    assert await handle.status() is TaskStatus.DELAYED
    assert await fake_queue.run_all() == 2
    assert await handle.result() == 2
    started = fake_queue.clock.now_ms
    await Flaky(9).dispatch()
    await fake_queue.run_all()
    assert fake_queue.clock.now_ms == started + 120_000
    assert done == ["gave up: not yet"]
    assert [dead.reason for dead in await fake_queue.dead()] == ["failed"]


@pytest.mark.anyio
async def test_inline_runs_before_dispatch_returns(inline_queue: FakeQueue) -> None:
    await Slow().dispatch()
    await report.dispatch(1)
    assert done[0].endswith("Slow")
    assert done[1:] == [1, ("reader 1", "Welcome")]
    inline_queue.assert_dispatched(welcome, times=1)


@pytest.mark.anyio
async def test_middleware_wraps_dispatch_and_run(fake_queue: FakeQueue) -> None:
    class Noting(Middleware):
        def __init__(self, name: str) -> None:
            self.name = name

        async def dispatch(self, call: Any, send: Any) -> Any:
            done.append(f"{self.name} sends {call.definition.name.rpartition(':')[2]}")
            return await send(call.on_queue("wrapped"))

        async def execute(self, context: Any, run: Any) -> Any:
            done.append(f"{self.name} before {context.attempt}")
            try:
                return await run()
            finally:
                done.append(f"{self.name} after")

    outer, inner = Noting("outer"), Noting("inner")
    add_middleware(outer)
    add_middleware(inner)
    try:
        await welcome.dispatch("ada")
        await fake_queue.run()
    finally:
        remove_middleware(outer)
        remove_middleware(inner)
    assert done == [
        "outer sends welcome",
        "inner sends welcome",
        "outer before 0",
        "inner before 0",
        ("ada", "Welcome"),
        "inner after",
        "outer after",
    ]
    fake_queue.assert_dispatched(welcome, on_queue="wrapped")


@pytest.mark.anyio
async def test_middleware_may_skip_a_task_or_fail_it(fake_queue: FakeQueue) -> None:
    class Skipping(Middleware):
        async def execute(self, context: Any, run: Any) -> Any:
            if context.task.endswith("report"):
                raise PermissionError("not today")
            return 42

    skipping = Skipping()
    add_middleware(skipping)
    try:
        handle = await Flaky(0).dispatch()
        await report.dispatch(1)
        await fake_queue.run()
        assert await handle.result() == 42
    finally:
        remove_middleware(skipping)
    assert done == []
    assert await fake_queue.run_all() == 2  # the report failed, and is tried again


def test_leaving_it_restores_what_was_there() -> None:
    with FakeQueue() as first:
        asyncio.run(welcome.dispatch("ada"))
    with FakeQueue() as second:
        asyncio.run(welcome.dispatch("bob"))
    assert [d.arguments["to"] for d in first.dispatched] == ["ada"]
    assert [d.arguments["to"] for d in second.dispatched] == ["bob"]


def test_it_stands_in_for_what_joins_a_transaction_too(fake_queue: FakeQueue) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        welcome("Ada").on_connection(connection).dispatch_sync()
    fake_queue.assert_dispatched(welcome, {"to": "Ada"}, times=1)


def test_what_compares_is_compared(fake_queue: FakeQueue) -> None:
    asyncio.run(_send())
    fake_queue.assert_dispatched(welcome, {"to": ANY}, times=1)
    fake_queue.assert_not_dispatched(welcome, {"to": ["Ada", ANY]})


async def _send() -> None:
    await welcome.dispatch("Ada")
