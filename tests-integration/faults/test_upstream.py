"""What the queue that this project replaces got wrong, one regression test for each.

The names are those of the study of it: S for the seed's show-stoppers, W for weaknesses that later
versions kept. Those that need processes to die, or are a file of their own, are tested there:

* S9 tasks defined in scripts: the quick-start tests of the command line
* W5 leases that nobody renews or fences: `test_block`, `test_freeze`
* W6 crash loops that never end: `test_poison`
* W17 `max_tasks` overrun: `test_limits`
* W19 a stop that waits for ever: `test_stop`; here: signal handlers left behind
* W22 `CancelledError` raised inside a task: `test_outcomes`
* W26 types that change on the way: the serialization tests of core; here: from end to end
"""

from __future__ import annotations

import asyncio
import enum
import os
import signal
import threading
from dataclasses import dataclass
from datetime import time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from async_task import (
    Task,
    config,
    current_context,
    get_dispatcher,
    get_global_config,
    set_global_config,
    task,
)
from async_task.core.ids import id_text, new_id
from async_task.core.retry import RetryPolicy
from async_task.spi.driver import ConsumerOptions
from async_task.spi.messages import Message
from async_task.testing.selection import requires

if TYPE_CHECKING:
    from collections.abc import Iterator

    from faults.bench import Bench

pytestmark = pytest.mark.anyio

seen: list[Any] = []
"""What tasks say they did, in order."""


@pytest.fixture(autouse=True)
def nothing_seen() -> Iterator[None]:
    seen.clear()
    yield


class Color(enum.Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    y: int


@task
async def say(word: object) -> None:
    seen.append(word)


@task(max_retries=2)
async def fail(word: object) -> None:
    seen.append((current_context().attempt, word))
    raise ValueError(f"cannot say {word}")


@task(retry_delay=1000, max_retries=3)
async def fail_patiently() -> None:
    seen.append(current_context().attempt)
    raise ValueError("again, later")


@task
def meet(barrier_of: int) -> None:
    MEETING[barrier_of].wait(30)
    seen.append("met")


MEETING = {8: threading.Barrier(8)}


@task
async def typed(color: Color, point: Point, seconds: timedelta) -> None:
    seen.extend((color, point, seconds))


@task
async def unreserved(
    timeout: int, config: int, args: int, kwargs: int, func: int, queue: int, task: int
) -> None:
    seen.append((timeout, config, args, kwargs, func, queue, task))


@task
async def delayed_by_name(delay: int) -> None:
    seen.append(delay)


class Sum(Task[int]):
    def __init__(self, *numbers: int) -> None:
        self.numbers = numbers

    async def handle(self) -> int:
        seen.append(sum(self.numbers))
        return sum(self.numbers)


async def test_s2_what_is_taken_is_what_was_sent(bench: Bench) -> None:
    await bench.run(say("hello"), Sum(1, 2).delay(0))
    assert sorted(map(str, seen)) == ["3", "hello"]
    assert await bench.left() == 0


async def test_s3_s4_s5_retries_leave_one_dead_letter_and_nothing_else(bench: Bench) -> None:
    (task_id,) = await bench.run(fail("x"))
    assert seen == [(0, "x"), (1, "x"), (2, "x")]
    assert await bench.left() == 0
    assert [letter.id for letter in await bench.dead()] == [task_id]


@requires(priorities=4)
async def test_s6_calls_can_be_chained(bench: Bench) -> None:
    call = say("x").delay(0).on_queue("high").retry_after(1).priority(3).expires_in(60)
    await bench.dispatch(call)
    await bench.work("high")
    assert seen == ["x"]


async def test_s7_a_lease_that_ends_is_handed_out_again(bench: Bench) -> None:
    (task_id,) = await bench.dispatch(say("x"))
    options = ConsumerOptions(queues=("default",), max_leases=1)
    async with bench.driver.driver.consumer(options) as consumer:
        for wait_ms, crashes in ((0, 0), (5000, 1)):
            (lease,) = await consumer.lease(
                ["default"], 1, wait_ms=wait_ms, lease_id=os.urandom(16), visibility_ms=50
            )
            assert (id_text(lease.id), lease.crashes) == (task_id, crashes)


async def test_s8_w11_bytes_that_are_no_task_are_looked_at_once(bench: Bench) -> None:
    await bench.driver.driver.enqueue([Message(new_id(), "default", b"\xc1")])
    await bench.work()
    assert [(x.deliveries, x.body) for x in await bench.dead()] == [(1, b"\xc1")]
    assert await bench.left() == 0


async def test_s10_w8_a_dead_letter_is_found_by_its_id_and_gets_a_new_budget(bench: Bench) -> None:
    (task_id,) = await bench.run(fail("x"))
    found = await bench.driver.dead_letters.get("default", task_id)
    assert found is not None
    assert found.arguments() == (["x"], {})
    assert await bench.driver.dead_letters.requeue("default", [task_id]) == 1
    await bench.work()
    assert seen == [(0, "x"), (1, "x"), (2, "x")] * 2
    assert [letter.id for letter in await bench.dead()] == [task_id]


async def test_w3_a_retry_far_off_is_kept_by_the_store(bench: Bench) -> None:
    await bench.run(fail_patiently().retry_after(86_400))
    assert seen == [0]
    (stats,) = await bench.driver.stats(["default"])
    assert (stats.ready, stats.dead) == (0, 0)
    assert (stats.delayed, stats.leased) in ((1, 0), (None, None))


async def test_w4_the_delay_of_a_call_goes_with_it(bench: Bench) -> None:
    await bench.run(fail_patiently().retry_after(0))
    assert seen == [0, 1, 2, 3]


def test_w4_backing_off_has_a_cap_and_jitter() -> None:
    policy = RetryPolicy(max_retries=9, delay=60, backoff=2)
    assert [policy.delay_ms(n) // 1000 for n in (1, 2, 7, 10_000)] == [60, 120, 3600, 3600]
    jittered = RetryPolicy(max_retries=9, delay=60, jitter=True)
    delays = {jittered.delay_ms(1) for _ in range(50)}
    assert len(delays) > 1
    assert max(delays) <= 60_000


async def test_w7_a_dead_letter_tells_what_happened(bench: Bench) -> None:
    await bench.run(fail("x"))
    (letter,) = await bench.dead()
    assert (letter.reason, letter.failures, letter.deliveries) == ("failed", 3, 3)
    assert [error.attempt for error in letter.errors] == [0, 1, 2]
    last = letter.errors[-1]
    assert (last.type, last.message) == ("ValueError", "cannot say x")
    assert 'raise ValueError(f"cannot say {word}")' in last.traceback


async def test_w19_signal_handlers_do_not_stay(bench: Bench) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    await bench.run(say("x"))
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


async def test_w19_a_worker_runs_outside_the_main_thread(bench: Bench) -> None:
    await bench.dispatch(say("x"))
    await bench.driver.disconnect()
    worker = bench.worker()
    await asyncio.to_thread(asyncio.run, worker.start())
    assert seen == ["x"]


async def test_w20_as_many_threads_run_as_the_worker_has_slots(bench: Bench) -> None:
    await bench.run(*(meet(8) for _ in range(8)), concurrency=8)
    assert seen == ["met"] * 8


async def test_w23_equal_payloads_are_two_tasks(bench: Bench) -> None:
    first, second = await bench.run(say("x"), say("x"))
    assert first != second
    assert seen == ["x", "x"]
    assert await bench.left() == 0


async def test_w24_asking_for_a_driver_changes_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "_global", None)
    set_global_config(driver="sqlite", sqlite_path=str(tmp_path / "tasks.db"))
    get_dispatcher("memory")
    assert get_global_config().driver == "sqlite"
    assert get_dispatcher().driver.name == "sqlite"


VALUES: list[Any] = [
    (1, 2), timedelta(seconds=1.5), time(1, 2), Path("a/b"), 2**100, {(1, 2)}, {1: "int"},
    {"__datetime__": "mine"}, {"__set__": [1]}, Decimal("1.10"), b"\x00", None, [],
]  # fmt: skip


async def test_w26_arguments_arrive_as_they_were(bench: Bench) -> None:
    await bench.run(*(say(value) for value in VALUES), concurrency=1)
    assert seen == VALUES
    assert [type(value) for value in seen] == [type(value) for value in VALUES]


async def test_w26_so_do_an_applications_own_types(bench: Bench) -> None:
    await bench.run(typed(Color.RED, Point(1, 2), timedelta(1)))
    assert seen == [Color.RED, Point(1, 2), timedelta(1)]


async def test_w29_no_parameter_name_is_reserved(bench: Bench) -> None:
    call = unreserved(timeout=1, config=2, args=3, kwargs=4, func=5, queue=6, task=7)
    await bench.run(call, delayed_by_name(delay=8))
    assert set(seen) == {(1, 2, 3, 4, 5, 6, 7), 8}
