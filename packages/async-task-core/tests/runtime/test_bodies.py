"""Bodies of every kind run to their end, whatever they return or raise."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from async_task.core.task import Task, task

if TYPE_CHECKING:
    from runtime.conftest import Bench

pytestmark = pytest.mark.anyio

seen: list[Any] = []


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    seen.clear()


async def test_a_coroutine_runs_on_the_loop_and_a_function_in_a_thread(bench: Bench) -> None:
    @task(name="bodies-async")
    async def coroutine() -> None:
        seen.append(("async", threading.current_thread() is threading.main_thread()))

    @task(name="bodies-def")
    def function() -> None:
        seen.append(("def", threading.current_thread() is threading.main_thread()))

    await bench.send(coroutine(), function())
    await bench.work()
    assert sorted(seen) == [("async", True), ("def", False)]


def unchanged(func: Callable[..., Any]) -> Any:
    """Wrap a function as decorators do that know nothing of coroutines."""

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return func(*args, **kwargs)

    return wrapper


async def test_a_coroutine_behind_a_plain_decorator_runs_too(bench: Bench) -> None:
    @task(name="bodies-wrapped")
    @unchanged
    async def wrapped() -> None:
        await asyncio.sleep(0)
        seen.append("ran")

    await bench.send(wrapped())
    await bench.work()
    assert seen == ["ran"]


async def test_a_plain_handle_runs_too(bench: Bench) -> None:
    class Plain(Task[None], name="bodies-plain"):
        def handle(self) -> None:  # type: ignore[override]  # a function where a coroutine belongs
            seen.append("ran")

    await bench.send(Plain())
    await bench.work()
    assert seen == ["ran"]


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        UnspeakableError(),
        StopIteration(),
        StopAsyncIteration(),
        GeneratorExit(),
        SystemExit(1),
        KeyboardInterrupt(),
        asyncio.CancelledError(),
        ExceptionGroup("several", [ValueError(), OSError()]),
        ValueError("x" * 100_000),
        ValueError("\ud800"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("where", ["async", "thread", "constructor"])
async def test_whatever_is_raised_is_a_failure_and_the_worker_goes_on(
    bench: Bench, where: str, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    @task(name="bodies-raising-async", max_retries=0)
    async def in_loop() -> None:
        raise error

    @task(name="bodies-raising-def", max_retries=0)
    def in_thread() -> None:
        raise error

    class InConstructor(Task[None], name="bodies-raising-constructor"):
        max_retries = 0
        broken = False

        def __init__(self) -> None:
            if self.broken:
                raise error

        async def handle(self) -> None: ...

    make: dict[str, Any] = {"async": in_loop, "thread": in_thread, "constructor": InConstructor}
    await bench.send(make[where]())
    InConstructor.broken = True
    await bench.work()
    (dead,) = await bench.dead()
    assert (dead.reason, dead.failures) == ("failed", 1)
    assert len(dead.errors[0].message) <= 300
    assert all(len(record.getMessage()) < 1000 for record in caplog.records)


async def test_arguments_that_no_longer_fit_are_no_failures(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    @task(name="bodies-changing")
    def before(a: int) -> None: ...

    await bench.send(before(1))
    before.definition.aliases = ()
    from async_task.core.registry import Registry

    tasks = Registry()

    @task(name="bodies-changed", aliases=[])
    def after(a: int, b: int) -> None: ...

    after.definition.name = "bodies-changing"
    tasks.add(after.definition)
    await bench.work(tasks=tasks)
    (dead,) = await bench.dead()
    assert (dead.reason, dead.failures) == ("bad_arguments", 0)
    assert "missing a required argument: 'b'" in dead.errors[0].message
    assert "bodies-changing" in caplog.text
