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


async def test_the_settlement_of_a_frozen_worker_is_refused(scene: Scene) -> None:
    (frozen,) = await scene.fleet.started(1, "default", "own")
    ids = await scene.dispatch([freeze_once(scene.gate("second"))])
    await scene.seen(Kind.STOPPED, 1)
    await scene.fleet.started(1)

    def leased_again() -> bool:
        return [e.deliveries for e in scene.history.events(Kind.START)] == [1, 2]

    await until(leased_again, "the other worker has the task")
    frozen.thaw()
    await frozen.says("its outcome is discarded")
    assert await scene.leased() == 1  # the success of the first changed nothing
    scene.open("second")
    await scene.drained()
    assert await scene.dead() == ids  # what the second made of it counts

    await scene.dispatch([nap(0).on_queue("own")])
    await scene.drained("own")
    assert frozen.exit_code is None
    # Done by the frozen worker, though never settled, and dead by the other one.
    assert {v.name for v in scene.violations(dead=ids)} == {"done and dead"}


async def test_a_task_that_wakes_up_without_its_lease_is_cancelled(scene: Scene) -> None:
    (frozen,) = await scene.fleet.started(1)
    ids = await scene.dispatch([hold(scene.gate("end"))])
    await scene.seen(Kind.START, 1)
    await scene.fleet.started(1)
    frozen.freeze()
    await until(lambda: len(scene.history.events(Kind.START)) == 2, "the other worker has it")
    frozen.thaw()
    await scene.seen(Kind.CANCELLED, 1, ids)
    scene.open("end")
    await scene.drained()
    assert [(e.deliveries, e.pid == frozen.pid) for e in scene.history.events(Kind.DONE)] == [
        (2, False)
    ]
    assert scene.violations() == []
