"""Limits: of time, of age, of number, and of order."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from async_task import task
from async_task.core.history import History as Memory
from async_task.testing.selection import requires

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


@task
async def say(word: object) -> None:
    seen.append(word)


@task
async def fail(word: object) -> None:
    seen.append(word)
    raise ValueError(word)


@task(timeout=0.1, max_retries=1)
async def too_long() -> None:
    seen.append("began")
    await asyncio.sleep(60)


@task(timeout=0.1, max_retries=0)
def too_long_in_a_thread() -> None:
    seen.append("began")
    time.sleep(0.4)
    seen.append("ended")


@task(timeout=0.1, max_retries=0)
async def deaf() -> None:
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        seen.append("swallowed")


async def test_an_async_task_over_its_time_fails_and_is_retried(bench: Bench) -> None:
    await bench.run(too_long())
    assert seen == ["began", "began"]
    (letter,) = await bench.dead()
    assert (letter.reason, letter.failures) == ("failed", 2)
    assert {error.type for error in letter.errors} == {"async_task.errors.TaskTimeoutError"}


async def test_a_thread_over_its_time_keeps_its_slot_and_fails_when_it_returns(
    bench: Bench,
) -> None:
    await bench.run(too_long_in_a_thread(), say("next"), concurrency=1)
    assert seen == ["began", "ended", "next"]
    (letter,) = await bench.dead()
    assert (letter.reason, letter.failures) == ("failed", 1)


async def test_a_task_that_swallows_its_cancellation_ends_once(bench: Bench) -> None:
    await bench.run(deaf(), say("next"), concurrency=1)
    assert seen == ["swallowed", "next"]
    assert await bench.left() == 0


async def test_a_task_that_is_too_old_never_runs(bench: Bench) -> None:
    old, _ = await bench.dispatch(say("old").expires_in(0.05), say("fresh").expires_in(60))
    await asyncio.sleep(0.2)  # nothing tells when a message has grown too old
    await bench.work()
    assert seen == ["fresh"]
    assert [(letter.id, letter.reason) for letter in await bench.dead()] == [(old, "expired")]


async def test_exactly_so_many_tasks_are_run_as_asked_for(bench: Bench) -> None:
    await bench.dispatch(*(say(n) for n in range(6)), *(fail(n) for n in range(6)))
    await bench.work(max_tasks=8, concurrency=10)
    assert len(seen) == 8
    (stats,) = await bench.driver.stats(["default"])
    assert stats.leased in (0, None)
    assert await bench.left() + len(await bench.dead()) == 6


async def test_queues_are_worked_off_in_strict_order(bench: Bench) -> None:
    await bench.dispatch(*(say(n).on_queue(q) for n, q in enumerate(("low", "high") * 3)))
    await bench.work("high", "low", concurrency=1)
    assert seen == [1, 3, 5, 0, 2, 4]


@requires(priorities=3)
async def test_priorities_are_strict_within_a_queue(bench: Bench) -> None:
    await bench.dispatch(*(say(n).priority(n % 3) for n in range(6)))
    await bench.work(concurrency=1)
    assert seen == [2, 5, 1, 4, 0, 3]


async def test_what_a_failure_remembers_fits_the_store(bench: Bench) -> None:
    await bench.run(fail("x" * 100_000))
    (letter,) = await bench.dead()
    assert len(letter.errors) == 4
    assert len(Memory(letter.failures, errors=letter.errors).pack()) <= 4096
