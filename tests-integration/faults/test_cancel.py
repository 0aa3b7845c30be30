"""Cancelling tasks that other processes hold: each kind ends as it can, and none runs again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from async_task import Dispatcher
from async_task.core.outcome import TaskStatus
from async_task.spi.capabilities import Facet
from async_task.testing.selection import requires

from faults.app import hold, hold_thread
from faults.history import Kind, now_ns
from faults.scene import LEASE_S
from faults.supervised import LastChance, hold_child
from faults.waiting import until
from faults.workers import lives

if TYPE_CHECKING:
    from pathlib import Path

    from faults.scene import Scene

pytestmark = pytest.mark.anyio

MODULES = ("faults.app", "faults.supervised")
TOLD_S = LEASE_S / 3
SLACK_S = 1.0
"""For a machine that is busy; with it, it is still sooner than a lease would end by itself."""


@requires(Facet.CONTROL)
async def test_each_kind_of_run_is_told(scene: Scene, tmp_path: Path) -> None:
    dispatcher, pids = Dispatcher(scene.driver), tmp_path / "pids"
    (worker,) = await scene.fleet.started(1, modules=MODULES)
    (coroutine,) = await scene.dispatch([hold(scene.gate("never"))])
    (thread,) = await scene.dispatch([hold_thread(scene.gate("end"))])
    (child,) = await scene.dispatch([hold_child(scene.gate("never"), str(pids))])
    await scene.seen(Kind.START, 3)
    for task_id in (coroutine, thread, child):
        assert await dispatcher.status(task_id) is TaskStatus.RUNNING
        assert await dispatcher.cancel(task_id)
    cancelled_ns = now_ns()

    await until(lambda: not lives(int(pids.read_text())), "the child process is killed")
    await scene.seen(Kind.CANCELLED, 1, {coroutine})
    (told,) = scene.history.events(Kind.CANCELLED)
    stalled_ns = sum(event.value for event in scene.history.events(Kind.STALLED))
    assert told.at_ns - cancelled_ns <= (TOLD_S + SLACK_S) * 1e9 + stalled_ns

    async def only_the_thread() -> bool:
        return await scene.leased() == 1

    await until(only_the_thread, "the others are settled")
    assert await dispatcher.status(thread) is TaskStatus.RUNNING
    scene.open("end")
    await scene.drained()
    for task_id in (coroutine, thread, child):
        assert await dispatcher.status(task_id) is TaskStatus.UNKNOWN  # no result was asked for
        assert not await dispatcher.cancel(task_id)
    assert len(scene.history.events(Kind.START)) == 3
    assert await scene.dead() == set()
    worker.terminate()
    assert await worker.ended() == 0


@requires(Facet.CONTROL)
async def test_one_whose_worker_died_does_not_run_again(scene: Scene) -> None:
    (worker,) = await scene.fleet.started(1)
    await scene.dispatch([hold(scene.gate("never"))])
    await scene.seen(Kind.START, 1)
    worker.freeze()
    (task_id,) = {event.task_id for event in scene.history.events(Kind.START)}
    assert await Dispatcher(scene.driver).cancel(task_id)
    worker.kill()
    await scene.fleet.started(1)
    await scene.drained()
    assert len(scene.history.events(Kind.START)) == 1


async def test_failed_runs_though_the_worker_of_the_only_run_died(scene: Scene) -> None:
    """A crash is no failure: the run is made up for, and its failure is what counts."""
    (victim,) = await scene.fleet.started(1, modules=MODULES)
    ids = await scene.dispatch([LastChance(scene.gate("end")).delay(0)])
    await scene.seen(Kind.START, 1)
    victim.kill()
    await scene.fleet.started(1, modules=MODULES)
    await until(lambda: len(scene.history.events(Kind.START)) == 2, "it runs again")
    scene.open("end")
    await scene.seen(Kind.MOURNED, 1, ids)
    await scene.drained()
    starts = scene.history.events(Kind.START)
    assert [(event.deliveries, event.attempt) for event in starts] == [(1, 0), (2, 0)]
    (letter,) = await scene.driver.dead_letters.browse("default")
    assert (letter.reason, letter.failures, letter.crashes) == ("failed", 1, 1)
    assert scene.violations(dead=ids) == []
