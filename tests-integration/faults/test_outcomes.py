"""How a run ends, by the task's own doing, and what follows."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from async_task import (
    FunctionTask,
    RejectTask,
    ReleaseTask,
    RetryTask,
    SyncTask,
    Task,
    current_context,
    task,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from faults.bench import Bench

pytestmark = pytest.mark.anyio

seen: list[object] = []
"""What tasks say they did, in order."""


@pytest.fixture(autouse=True)
def nothing_seen() -> Iterator[None]:
    seen.clear()
    yield


ERRORS: dict[str, type[BaseException]] = {
    error.__name__: error
    for error in (
        asyncio.CancelledError, SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration,
        StopAsyncIteration, TimeoutError, RecursionError, MemoryError,
    )
}  # fmt: skip


@task(max_retries=1)
async def raising(error: str) -> None:
    seen.append("ran")
    raise ERRORS[error](error)


@task(max_retries=1)
def raising_in_a_thread(error: str) -> None:
    seen.append("ran")
    raise ERRORS[error](error)


@task
async def say(word: object) -> None:
    seen.append(word)


@task(max_retries=2)
async def signalling(signal: str, times: int) -> None:
    context = current_context()
    seen.append((context.attempt, context.deliveries))
    if len(seen) <= times:
        raise {"retry": RetryTask(0), "release": ReleaseTask(0), "reject": RejectTask("no")}[signal]


class Failing(Task[None]):
    max_retries = 2

    def __init__(self, final: bool = False, silent: bool = True) -> None:
        self.final, self.silent = final, silent

    async def handle(self) -> None:
        seen.append(f"run {self._attempts}")
        raise ValueError("handle")

    def should_retry(self, exception: Exception) -> bool:
        assert isinstance(exception, ValueError)
        return not self.final

    async def failed(self, exception: Exception) -> None:
        seen.append(f"failed by {exception}")
        if not self.silent:
            raise RuntimeError("failed() fails")


class FailingInThread(SyncTask[None]):
    max_retries = 0

    def handle_sync(self) -> None:
        raise ValueError("handle_sync")

    async def failed(self, exception: Exception) -> None:
        seen.append(f"failed by {exception}")


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("call", [raising, raising_in_a_thread], ids=["async", "thread"])
async def test_whatever_a_task_raises_is_a_failure(
    bench: Bench, error: str, call: FunctionTask[[str], None]
) -> None:
    await bench.run(call(error), say("next"), concurrency=1)
    assert seen.count("ran") == 2
    assert seen[-1] == "ran" or "next" in seen
    (letter,) = await bench.dead()
    assert (letter.reason, letter.failures, letter.crashes) == ("failed", 2, 0)
    assert error in "".join(f"{e.type} {e.message} {e.traceback}" for e in letter.errors)
    assert await bench.left() == 0


async def test_failed_runs_once_at_the_end(bench: Bench) -> None:
    await bench.run(Failing())
    assert seen == ["run 0", "run 1", "run 2", "failed by handle"]
    assert [letter.reason for letter in await bench.dead()] == ["failed"]


async def test_failed_runs_for_a_task_in_a_thread(bench: Bench) -> None:
    await bench.run(FailingInThread())
    assert seen == ["failed by handle_sync"]


async def test_a_failing_failed_keeps_no_task_from_its_end(bench: Bench) -> None:
    await bench.run(Failing(silent=False))
    assert seen[3:] == ["failed by handle"]
    assert [letter.reason for letter in await bench.dead()] == ["failed"]


async def test_should_retry_ends_it_early(bench: Bench) -> None:
    await bench.run(Failing(final=True))
    assert seen == ["run 0", "failed by handle"]


async def test_a_task_that_retries_itself_is_charged(bench: Bench) -> None:
    await bench.run(signalling("retry", 2))
    assert seen == [(0, 1), (1, 2), (2, 3)]
    assert await bench.dead() == []


async def test_a_task_that_retries_itself_has_a_budget(bench: Bench) -> None:
    await bench.run(signalling("retry", 100))
    assert len(seen) == 3
    assert [letter.reason for letter in await bench.dead()] == ["failed"]


async def test_a_task_that_releases_itself_is_charged_nothing(bench: Bench) -> None:
    await bench.run(signalling("release", 10))
    assert seen == [(0, n) for n in range(1, 12)]
    assert await bench.dead() == []


async def test_a_task_that_rejects_itself_is_dead_at_once(bench: Bench) -> None:
    await bench.run(signalling("reject", 1))
    assert seen == [(0, 1)]
    (letter,) = await bench.dead()
    assert (letter.reason, letter.failures) == ("rejected", 0)
    assert letter.errors[-1].message == "no"
