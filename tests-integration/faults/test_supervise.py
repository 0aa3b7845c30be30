"""Several workers under one supervisor: they crash, it is killed, they are replaced and stopped."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from faults.app import hold, nap
from faults.backends import BACKENDS, FULL
from faults.history import Kind
from faults.supervised import block_at_gate, hoard, hold_child
from faults.waiting import until
from faults.workers import lives

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection

    from faults.scene import Scene

PLAYED = [backend for backend in BACKENDS if backend.shared and (FULL or not backend.slow)]
pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("backend", PLAYED, ids=str)]

GONE_POLLS = 100
"""2 s, counted in looks of 20 ms: a machine that does not let the test run counts neither."""


async def gone(pids: Collection[int]) -> None:
    for _ in range(GONE_POLLS):
        if not any(map(lives, pids)):
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"still there: {[pid for pid in pids if lives(pid)]}")


def ran_once(scene: Scene, ids: set[str]) -> None:
    """Assert that every task ran once, and that nothing was charged for anything."""
    starts = scene.history.events(Kind.START)
    assert sorted(event.task_id for event in starts) == sorted(ids)
    assert {event.attempt for event in starts} == {0}
    assert scene.violations() == []


@contextlib.asynccontextmanager
async def steady_dispatch(scene: Scene) -> AsyncGenerator[set[str]]:
    """Dispatch all the time; the set is complete once left."""
    ids: set[str] = set()
    ended = asyncio.Event()

    async def dispatch() -> None:
        while not ended.is_set():
            ids.update(await scene.dispatch(nap(0.05) for _ in range(3)))
            await asyncio.sleep(0.02)

    dispatching = asyncio.create_task(dispatch())
    try:
        yield ids
    finally:
        ended.set()
        await dispatching


async def test_a_killed_worker_is_replaced(scene: Scene) -> None:
    crew = scene.fleet.supervise("--processes", "2")
    await crew.working(2)
    await scene.dispatch(hold(scene.gate("end")) for _ in range(10))
    await scene.seen(Kind.START, 10)
    victim = crew.pids[0]
    crew.kill_worker(victim)
    await crew.says(f"worker {victim} ended with signal 9")
    await crew.working(3)
    scene.open("end")
    await scene.drained()
    assert scene.violations() == []
    crew.terminate()
    assert await crew.ended() == 0


async def test_nothing_outlives_a_killed_supervisor(scene: Scene, tmp_path: Path) -> None:
    crew = scene.fleet.supervise("--processes", "2", "--concurrency", "3")
    await crew.working(2)
    pids = tmp_path / "pids"
    calls = [hold_child(scene.gate("end"), str(pids)) for _ in range(2)]
    await scene.dispatch([*calls, *(hold(scene.gate("end")) for _ in range(2))])
    await scene.seen(Kind.START, 4)
    await scene.dispatch([block_at_gate(scene.gate("end"))])
    await scene.seen(Kind.START, 5)  # one worker's loop is blocked
    workers, children = crew.living, [int(line) for line in pids.read_text().split()]
    assert len(workers) == len(children) == 2
    crew.kill()
    await gone([*workers, *children])
    scene.open("end")
    scene.fleet.supervise("--processes", "2")
    await scene.drained()
    assert scene.violations() == []


async def test_sigterm_stops_all_gently(scene: Scene) -> None:
    crew = scene.fleet.supervise("--processes", "2")
    await crew.working(2)
    ids = await scene.dispatch(hold(scene.gate("end")) for _ in range(10))
    await scene.seen(Kind.START, 10)
    crew.terminate()
    await until(lambda: crew.log.count("get time to finish") == 2, "both stop")
    scene.open("end")
    assert await crew.ended() == 0
    assert await scene.waiting() == 0
    ran_once(scene, ids)


async def test_a_second_sigterm_stops_all_at_once(scene: Scene) -> None:
    crew = scene.fleet.supervise("--processes", "2", "--grace", "600")
    await crew.working(2)
    ids = await scene.dispatch(hold(scene.gate("never")) for _ in range(10))
    await scene.seen(Kind.START, 10)
    crew.terminate()
    await until(lambda: crew.log.count("get time to finish") == 2, "both stop")
    crew.terminate()
    assert await crew.ended() == 0
    assert scene.history.count(Kind.CANCELLED, ids) == 10
    assert await scene.leased() == 0
    assert {lease.crashes for lease in await scene.inspect()} == {0}
    assert scene.violations(left=10) == []


async def test_sigterm_while_workers_start(scene: Scene) -> None:
    crew = scene.fleet.supervise("--processes", "2")
    await crew.says("started")
    crew.terminate()
    assert await crew.ended() == 0
    assert "Traceback" not in crew.log


async def test_sighup_rolls_over_without_a_gap(scene: Scene) -> None:
    crew = scene.fleet.supervise("--processes", "2")
    await crew.working(2)
    async with steady_dispatch(scene) as ids:
        for round_ in (1, 2):
            crew.hang_up()
            await crew.working(2 + 2 * round_)
            await until(lambda: len(crew.living) == 2, "the old ones are gone")
    await scene.drained()
    ran_once(scene, ids)
    assert len({event.pid for event in scene.history.events(Kind.START)}) >= 4
    working = 2
    for line in crew.log.partition("replacing")[2].splitlines():
        working += ("working on" in line) - ("get time to finish" in line)
        assert working >= 2, "an old worker stopped before its new one was ready"
    crew.terminate()
    assert await crew.ended() == 0


async def test_new_code_that_does_not_start_replaces_nothing(scene: Scene, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "shop.py").write_text("from faults.supervised import *\n")
    crew = scene.fleet.supervise("--processes", "2", app="shop", folder=source)
    await crew.working(2)
    workers = crew.living
    (source / "shop.py").write_text("broken\n")
    crew.hang_up()
    await crew.says("does not get ready; the old ones stay")
    await until(lambda: crew.living == workers, "the new one is gone")
    ids = await scene.dispatch(nap(0.01) for _ in range(5))
    await scene.seen(Kind.DONE, 5, ids)
    crew.terminate()
    assert await crew.ended() == 0


@pytest.mark.parametrize("limit", ["--recycle-tasks=20", "--recycle-age=1", "--recycle-memory=200"])
async def test_recycling_under_load_costs_nothing(scene: Scene, limit: str) -> None:
    crew = scene.fleet.supervise("--processes", "2", limit)
    await crew.working(2)
    async with steady_dispatch(scene) as ids:
        for number in range(3, 6):
            if "memory" in limit:
                ids |= await scene.dispatch([hoard(200)])
            await crew.working(number)
    await scene.drained()
    ran_once(scene, ids)
    assert "ended with" not in crew.log
    crew.terminate()
    assert await crew.ended() == 0


async def test_all_stop_when_empty(scene: Scene) -> None:
    ids = await scene.dispatch(nap(0.02) for _ in range(40))
    crew = scene.fleet.supervise("--processes", "3", "--stop-when-empty", "--concurrency", "2")
    assert await crew.ended() == 0
    ran_once(scene, ids)


async def test_reload_puts_running_tasks_back(scene: Scene, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "shop.py").write_text("from faults.supervised import *\n")
    crew = scene.fleet.supervise("--reload", "--grace", "600", app="shop", folder=source)
    await crew.working(1)
    ids = await scene.dispatch([hold(scene.gate("end"))])
    await scene.seen(Kind.START, 1)
    scene.history.record(Kind.TERMINATED, pid=crew.pids[0])
    (source / "shop.py").write_text("broken\n")
    await crew.says("a worker cannot start (exit code 1); waiting for a change")
    (source / "shop.py").write_text("from faults.supervised import *  # again\n")
    await crew.working(2)
    scene.open("end")
    await scene.drained()
    starts = scene.history.events(Kind.START)
    assert {event.task_id for event in starts} == ids
    assert [(event.deliveries, event.attempt) for event in starts] == [(1, 0), (2, 0)]
    crew.terminate()
    assert await crew.ended() == 0
