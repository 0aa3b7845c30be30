"""The store goes away for longer than a lease and comes back: the workers are still there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from async_task.errors import DriverError

from faults.app import hold, nap
from faults.backends import BACKENDS, Backend
from faults.history import Kind, now_ns
from faults.scene import LEASE_S
from faults.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from faults.scene import Scene

pytestmark = pytest.mark.anyio

RETURN_S = 5.0
"""How soon after the store's return workers consume again (delivery contract: at most 2 s between
their tries)."""
OUTAGES = [(backend, name) for backend in BACKENDS for name in backend.outages]


@pytest.mark.parametrize(("backend", "outage"), OUTAGES, ids=str)
async def test_work_goes_on_when_the_store_is_back(
    scene: Scene, backend: Backend, outage: str, size: Callable[[int, int], int]
) -> None:
    workers = await scene.fleet.started(2)
    again = set[str]()
    for turn in range(size(1, 3)):
        end = scene.gate(f"end-{turn}")
        start, done = scene.history.count(Kind.START), scene.history.count(Kind.DONE)
        await scene.dispatch([hold(end) for _ in range(4)])
        await scene.seen(Kind.START, start + 4)
        await scene.dispatch(nap(0.1) for _ in range(200))
        await scene.dispatch(hold(end) for _ in range(60))  # each worker gets some
        await scene.seen(Kind.DONE, done + 20)
        scene.history.record(Kind.DOWN)
        with scene.outages[outage]():
            if turn == 0 and outage in backend.outages_at_start:
                workers.append(scene.fleet.start())
                await workers[-1].says("failed, trying again")
            refused = nap(0)
            with pytest.raises(DriverError):
                await scene.dispatch([refused])
            await asyncio.sleep(LEASE_S + 0.5)
        back_ns = now_ns()
        scene.history.record(Kind.UP)

        def consuming(back_ns: int = back_ns) -> bool:
            since = (e.pid for e in scene.history.events(Kind.START) if e.at_ns > back_ns)
            return set(since) == {worker.pid for worker in workers}

        await until(consuming, "every worker consumes again", within_s=RETURN_S)
        again |= await scene.dispatch([refused])
        scene.open(f"end-{turn}")
        await scene.drained()
    idempotent = backend.capabilities.idempotent_enqueue
    assert scene.violations(resent=() if idempotent else again) == []
    assert [worker.exit_code for worker in workers] == [None] * len(workers)
    # Leasing, settling, renewing and maintenance each say so once in 5 s.
    assert max(worker.log.count("trying again") for worker in workers) <= 8 * size(1, 3)
