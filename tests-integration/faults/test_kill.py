"""kill -9: the tasks of a dead worker run again, soon, and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from faults.app import Mourned, hold, nap
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
    count, kills = size(300, 5000), size(4, 50)
    workers = await scene.fleet.started(4)
    await scene.dispatch(nap(chance.uniform(0.02, 0.1)) for _ in range(count))
    for kill in range(1, kills + 1):
        await scene.seen(Kind.DONE, count * kill // (2 * kills + 1))
        victim = workers.pop(chance.randrange(len(workers)))
        victim.kill()
        workers.append(scene.fleet.start())
    await scene.drained()
    assert scene.violations() == []


async def test_tasks_of_a_dead_worker_run_again_within_the_promised_time(scene: Scene) -> None:
    (victim,) = await scene.fleet.started(1)
    ids = await scene.dispatch(hold(scene.gate("end")) for _ in range(5))
    await scene.seen(Kind.START, 5)
    last = await scene.dispatch([Mourned().delay(0)])
    await victim.died()  # in the middle of telling the task that it has failed
    await scene.fleet.started(1)

    def started_again() -> bool:
        starts = scene.history.events(Kind.START)
        return {e.task_id for e in starts if e.deliveries == 2} == ids | last

    await until(started_again, "all of them started again")
    await scene.seen(Kind.MOURNED, 1, last)
    scene.open("end")
    await scene.drained()
    assert await scene.dead() == last
    assert scene.violations(dead=last, recover_s=RECOVERY_S) == []
