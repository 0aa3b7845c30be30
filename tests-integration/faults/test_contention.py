"""Many processes on one store: nobody is turned away, nobody starves."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from faults.app import nap
from faults.history import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from faults.scene import Scene

pytestmark = pytest.mark.anyio


async def test_four_processes_share_the_work(scene: Scene, size: Callable[[int, int], int]) -> None:
    count = size(1500, 20_000)
    workers = await scene.fleet.started(4)
    await scene.dispatch(nap(0.01) for _ in range(count))
    await scene.drained()
    assert scene.violations() == []
    shares = Counter(e.pid for e in scene.history.events(Kind.DONE))
    assert min(shares[worker.pid] for worker in workers) >= 0.05 * count, shares
    assert not [line for log in scene.fleet.logs for line in log.splitlines() if "INFO" not in line]
