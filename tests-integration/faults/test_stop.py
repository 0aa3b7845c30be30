"""SIGTERM: nothing is left behind, nothing is charged, nothing that was finished runs again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from async_task.core.history import History as Memory

from faults.app import hold, hold_deaf, hold_thread, nap
from faults.history import Kind

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from faults.scene import Scene

pytestmark = pytest.mark.anyio


async def uncharged(scene: Scene, *, count: int) -> None:
    """Assert that no worker holds a task and that those left have been charged nothing."""
    assert await scene.leased() == 0
    left = await scene.inspect()
    assert len(left) == count
    assert {(lease.crashes, Memory.unpack(lease.state).failures) for lease in left} <= {(0, 0)}


async def test_stopping_under_load(
    scene: Scene, size: Callable[[int, int], int], chance: random.Random
) -> None:
    stops = size(3, 20)
    calls = [nap(chance.uniform(0.01, 0.1)) for _ in range(60 * stops)]
    held = await scene.dispatch(hold(scene.gate("end")) for _ in range(3))
    await scene.dispatch(calls)
    for stop in range(1, stops + 1):
        worker = scene.fleet.start(grace=0.3)
        await scene.seen(Kind.DONE, 40 * stop)
        worker.terminate()
        assert await worker.ended() == 0
        await uncharged(scene, count=len(calls) + len(held) - scene.history.count(Kind.DONE))
    scene.open("end")
    scene.fleet.start()
    await scene.drained()
    assert scene.violations() == []
    assert {e.attempt for e in scene.history.events(Kind.START)} == {0}


async def test_a_second_signal_ends_at_once(scene: Scene) -> None:
    (worker,) = await scene.fleet.started(1, grace=600)
    ids = await scene.dispatch([hold(scene.gate("never"))])
    await scene.seen(Kind.START, 1)
    worker.terminate()
    await worker.says("stopping")
    worker.terminate()
    assert await worker.ended() == 0
    assert scene.history.count(Kind.CANCELLED, ids) == 1
    await uncharged(scene, count=1)
    assert scene.violations(left=1) == []


async def test_tasks_that_will_not_end_keep_nobody(scene: Scene) -> None:
    grace = 0.5
    (worker,) = await scene.fleet.started(1, grace=grace)
    await scene.dispatch([hold_thread(scene.gate("end")), hold_deaf(scene.gate("end"))])
    await scene.seen(Kind.START, 2)
    worker.terminate()
    assert await worker.ended(within_s=grace + 5) == 0
    await uncharged(scene, count=2)
    scene.open("end")
    scene.fleet.start()
    await scene.drained()
    assert scene.violations() == []
