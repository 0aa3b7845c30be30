"""Tasks that block the event loop of their worker keep their leases, and their neighbours'."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from faults.app import block_asleep, block_busy, hold
from faults.history import Kind
from faults.scene import LEASE_S

if TYPE_CHECKING:
    from faults.scene import Scene

pytestmark = pytest.mark.anyio


async def test_blocking_tasks_and_their_neighbours_run_once(scene: Scene) -> None:
    workers = await scene.fleet.started(1, "asleep") + await scene.fleet.started(1, "busy")
    neighbours = [hold(scene.gate("end")).on_queue(queue) for queue in ("asleep", "busy") * 4]
    await scene.dispatch(neighbours)
    await scene.seen(Kind.START, len(neighbours))
    blocking = await scene.dispatch(
        [block_asleep(3 * LEASE_S).on_queue("asleep"), block_busy(3 * LEASE_S).on_queue("busy")]
    )
    await scene.seen(Kind.START, 2, blocking)
    await scene.fleet.started(1, "asleep", "busy")  # would run what loses its lease
    await scene.seen(Kind.DONE, 2, blocking)
    scene.open("end")
    await scene.drained("asleep", "busy")
    assert [e.deliveries for e in scene.history.events(Kind.START)] == [1] * (len(neighbours) + 2)
    assert scene.violations() == []
    for worker, task in zip(workers, ("block_asleep", "block_busy"), strict=True):
        assert f"faults.{task}" in worker.log, "the log names what blocks"
        assert "has blocked the worker's event loop" in worker.log
