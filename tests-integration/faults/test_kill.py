"""kill -9: the tasks of a dead worker run again, soon, and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from faults.app import hold, nap
from faults.history import Kind
from faults.scene import RECOVERY_S
from faults.waiting import until

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from faults.scene import Scene

pytestmark = pytest.mark.anyio


async def test_killing_random_workers_loses_nothing(
    scene: Scene, size: Callable[[int, int], int], chance: random.Random
) -> None:
    count, kills = size(300, 2000), size(4, 25)
    workers = await scene.fleet.started(4)
    await scene.dispatch(nap(chance.uniform(0.02, 0.1)) for _ in range(count))
    for kill in range(1, kills + 1):
        await scene.seen(Kind.DONE, count * kill // (2 * kills + 1))
        victim = workers.pop(chance.randrange(len(workers)))
        victim.kill()
        workers.append(scene.fleet.start())
    await scene.drained()
    assert scene.violations() == []


async def test_tasks_of_a_killed_worker_run_again_within_the_promised_time(scene: Scene) -> None:
    (victim,) = await scene.fleet.started(1)
    ids = await scene.dispatch(hold(scene.gate("end")) for _ in range(5))
    await scene.seen(Kind.START, 5)
    await scene.fleet.started(1)
    victim.kill()

    def started_again() -> bool:
        return {e.task_id for e in scene.history.events(Kind.START) if e.deliveries == 2} == ids

    await until(started_again, "all of them started again")
    scene.open("end")
    await scene.drained()
    assert scene.violations(recover_s=RECOVERY_S) == []
