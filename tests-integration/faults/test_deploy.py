"""Rolling deploys: workers of the old version meet tasks of the new one, and burn nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from async_task.core.history import History as Memory

from faults.app import nap
from faults.history import Kind
from faults.newer import novelty

if TYPE_CHECKING:
    from faults.scene import Scene

pytestmark = pytest.mark.anyio


async def test_a_worker_that_does_not_know_a_task_leaves_it_to_others(scene: Scene) -> None:
    (old,) = await scene.fleet.started(1)
    new = await scene.dispatch([novelty() for _ in range(5)])
    await old.says("no task 'faults.novelty' is known here")
    known = await scene.dispatch([nap(0) for _ in range(5)])
    await scene.seen(Kind.DONE, 5, known)
    assert old.log.count("is known here") == 1, "one line a minute, not one a task"
    old.terminate()
    assert await old.ended() == 0

    left = await scene.inspect(wait_ms=10_000)
    assert {(lease.crashes, Memory.unpack(lease.state).failures) for lease in left} == {(0, 0)}
    assert min(lease.deliveries for lease in left) > 1
    scene.fleet.start(modules=("faults.app", "faults.newer"))
    await scene.drained()
    assert {e.attempt for e in scene.history.events(Kind.START)} == {0}
    assert scene.history.count(Kind.DONE, new) == 5
    assert scene.violations() == []
