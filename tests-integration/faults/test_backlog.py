"""Tasks that are not due yet cost a worker nothing, and none comes early."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from faults.app import nap
from faults.history import Kind

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from faults.scene import Scene

pytestmark = pytest.mark.anyio

GROWTH_KB = 5 * 1024


def memory_kb(pid: int) -> int:
    """Return the memory of a process that no file backs."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1])


async def test_delayed_tasks_stay_out_of_the_workers_memory(
    scene: Scene, size: Callable[[int, int], int]
) -> None:
    count = size(20_000, 100_000)
    used: list[int] = []
    for delayed in (0, count):
        await scene.dispatch(nap(0).delay(3600) for _ in range(delayed))
        (worker,) = await scene.fleet.started(1)
        due = await scene.dispatch(nap(0.01) for _ in range(300))
        await scene.seen(Kind.DONE, len(due), due)
        used.append(memory_kb(worker.pid))
        worker.terminate()
        assert await worker.ended() == 0
    assert used[1] - used[0] < GROWTH_KB
    (stats,) = await scene.driver.stats(["default"])
    assert (stats.ready, stats.delayed) in ((0, count), (0, None))
    assert scene.violations(left=count) == []


async def test_delays_are_never_cut_short(scene: Scene, chance: random.Random) -> None:
    await scene.fleet.started(2)
    delays = [chance.uniform(0, 1.5) for _ in range(200)]
    await scene.dispatch(nap(0).delay(seconds) for seconds in delays)
    await scene.drained()
    assert scene.violations() == []
