"""SIGSTOP: who sleeps through the end of a lease has lost it, and goes on with the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from faults.app import freeze_once, hold, nap
from faults.history import Kind
from faults.waiting import until

if TYPE_CHECKING:
    from faults.scene import Scene

pytestmark = pytest.mark.anyio


async def test_a_frozen_worker_has_lost_its_tasks_and_goes_on(scene: Scene) -> None:
    (frozen,) = await scene.fleet.started(1, "default", "own")
    running = await scene.dispatch([hold(scene.gate("end")), hold(scene.gate("end"))])
    await scene.seen(Kind.START, 2)
    settling = await scene.dispatch([freeze_once(scene.gate("second"))])
    await scene.seen(Kind.STOPPED, 1)
    await scene.fleet.started(1)

    def all_leased_again() -> bool:
        starts = scene.history.events(Kind.START)
        return {e.task_id for e in starts if e.deliveries == 2} == running | settling

    await until(all_leased_again, "the other worker has them all")
    frozen.thaw()
    if scene.driver.driver.capabilities.fence:  # a store without one does not say what it ignored
        await frozen.says("its outcome is discarded")  # that of the task which ended meanwhile
    await scene.seen(Kind.CANCELLED, 2, running)  # those which had not
    (stats,) = await scene.driver.stats(["default"])
    assert stats.leased in (3, None)  # RabbitMQ counts none
    scene.open("second")
    scene.open("end")
    await scene.drained()

    async def dead() -> bool:
        return await scene.dead() == settling

    # What the second delivery made of it counts; RabbitMQ's history has seen it done before.
    await until(dead, "the second delivery's dead letter")
    done = [e for e in scene.history.events(Kind.DONE) if e.task_id in running]
    assert [(e.deliveries, e.pid == frozen.pid) for e in done] == [(2, False)] * 2

    await scene.dispatch([nap(0).on_queue("own")])
    await scene.drained("own")
    assert frozen.exit_code is None
    # The frozen worker came to the end of the task that died later: done, but never settled.
    assert {v.name for v in scene.violations(dead=settling)} == {"done and dead"}
