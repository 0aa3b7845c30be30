"""A backend that fails, or whose answers are lost, costs no task and starts none twice."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest
from async_task.core.task import task
from async_task.errors import (
    AccessDeniedError,
    ConnectionLostError,
    DriverError,
    OutcomeUnknownError,
)

if TYPE_CHECKING:
    from runtime.conftest import Bench

pytestmark = pytest.mark.anyio

SHORT = {"visibility_timeout": 1}

seen: list[Any] = []


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    seen.clear()


@task
async def note(x: object) -> None:
    seen.append(x)


@pytest.mark.parametrize("call", ["open", "consumer", "lease", "settle"])
async def test_a_backend_that_fails_now_and_then_is_tried_again(bench: Bench, call: str) -> None:
    await bench.send(*(note(i) for i in range(5)))
    await bench.queue_driver.disconnect()
    bench.faults.before[call].extend([ConnectionLostError("gone"), OutcomeUnknownError("perhaps")])
    await bench.work()
    assert sorted(seen) == [0, 1, 2, 3, 4]
    assert await bench.counts() == (0, 0, 0, 0)


async def test_a_backend_that_refuses_for_good_ends_the_worker(bench: Bench) -> None:
    bench.faults.before["open"].append(AccessDeniedError("wrong password"))
    with pytest.raises(AccessDeniedError):
        await bench.work()


async def test_a_worker_waiting_for_its_backend_can_be_stopped(bench: Bench) -> None:
    bench.faults.always["open"] = ConnectionLostError("gone")
    worker = bench.start()
    await bench.faults.called("open", 2)
    worker.stop()
    await bench.ended(worker)


async def test_what_a_lost_lease_reply_took_is_recovered(bench: Bench) -> None:
    await bench.send(*(note(i) for i in range(5)))
    bench.faults.after["lease"].append(OutcomeUnknownError("the reply was lost"))
    await bench.work()
    assert sorted(seen) == [0, 1, 2, 3, 4]
    assert bench.faults.calls["recover"] == 1
    assert await bench.counts() == (0, 0, 0, 0)


async def test_what_it_took_is_asked_for_until_there_is_an_answer(bench: Bench) -> None:
    await bench.send(*(note(i) for i in range(5)))
    bench.faults.after["lease"].append(OutcomeUnknownError("the reply was lost"))
    bench.faults.before["recover"].extend(
        [ConnectionLostError("gone"), ConnectionLostError("gone")]
    )
    await bench.work()
    assert sorted(seen) == [0, 1, 2, 3, 4]
    assert bench.faults.calls["recover"] == 3
    assert await bench.counts() == (0, 0, 0, 0)


async def test_what_it_took_goes_back_when_the_worker_stops(bench: Bench) -> None:
    await bench.send(note(1))
    bench.faults.always["recover"] = ConnectionLostError("gone")
    bench.faults.after["lease"].append(OutcomeUnknownError("the reply was lost"))
    worker = bench.start()
    await bench.faults.called("recover", 1)
    bench.faults.always.clear()
    worker.stop()
    await bench.ended(worker)
    assert seen == []
    assert await bench.counts() == (1, 0, 0, 0)


async def test_a_lost_settle_reply_runs_nothing_twice_and_is_no_news(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.send(*(note(i) for i in range(5)))
    bench.faults.after["settle"].append(OutcomeUnknownError("the reply was lost"))
    await bench.work()
    assert sorted(seen) == [0, 1, 2, 3, 4]
    assert await bench.counts() == (0, 0, 0, 0)
    assert "no longer ours" not in caplog.text


async def test_one_settlement_that_is_refused_holds_up_no_other(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.send(*(note(i) for i in range(3)))
    refused = DriverError("this one is too odd")
    bench.faults.before["settle"].extend([refused, refused])
    await bench.work(concurrency=3)
    assert sorted(seen) == [0, 1, 2]
    ready, delayed, leased, dead = await bench.counts()
    assert (ready, delayed, leased, dead) == (0, 0, 1, 0)  # returns when its lease ends
    assert "cannot be settled and will run again: this one is too odd" in caplog.text


async def test_a_bug_in_settling_leaves_the_tasks_to_the_store_and_work_goes_on(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.send(note(1), note(2))
    bench.faults.before["settle"].append(ZeroDivisionError())
    await bench.work(concurrency=1)
    assert seen == [1, 2]
    assert await bench.counts() == (0, 0, 1, 0)
    assert "1 tasks: cannot be settled and will run again" in caplog.text


async def test_settling_is_tried_until_the_lease_ends_and_work_goes_on_after(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.send(note("unsettled"))
    bench.faults.always["settle"] = ConnectionLostError("gone")
    bench.faults.always["extend"] = ConnectionLostError("gone")
    worker = bench.start(settings=SHORT, max_tasks=2)
    await bench.faults.called("settle", 3)
    await bench.faults.called("lease", 1)  # again, though settling still fails
    assert "could not be settled before its lease ended" in caplog.text
    bench.faults.always.clear()
    await bench.send(note("settled"))
    await bench.ended(worker)
    assert seen == ["unsettled", "settled"]
    assert await bench.counts() == (0, 0, 1, 0)  # left to the store


async def test_an_outage_is_few_lines_however_long_it_lasts(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bench.faults.before["lease"].extend(ConnectionLostError("gone") for _ in range(3))
    await bench.work()
    lines = [r.getMessage() for r in caplog.records if "leasing" in r.getMessage()]
    assert lines == [
        "leasing tasks failed, trying again: ConnectionLostError: gone",
        "leasing tasks works again after 3 failed tries",
    ]


async def test_no_work_is_taken_while_settling_fails(bench: Bench) -> None:
    await bench.send(*(note(i) for i in range(50)))
    bench.faults.before["settle"].extend(ConnectionLostError("gone") for _ in range(3))
    worker = bench.start(concurrency=1, max_tasks=50)
    await bench.faults.called("settle", 3)
    assert len(seen) < 10
    await bench.ended(worker)
    assert sorted(seen) == list(range(50))


async def test_a_lease_taken_by_another_ends_the_run_and_discards_its_outcome(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    runs, lost = asyncio.Event(), asyncio.Event()

    @task(name="outages-lost")
    async def losing() -> None:
        runs.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            lost.set()

    await bench.send(losing())
    worker = bench.start(settings=SHORT, concurrency=1)
    await runs.wait()
    await bench.advance(1_001)
    (other,) = await bench.take()
    assert (other.crashes, other.deliveries) == (1, 2)
    await lost.wait()
    worker.stop()
    await bench.ended(worker)
    assert await bench.counts() == (0, 0, 1, 0)  # the other one's still
    assert bench.faults.settled == []
    assert "its lease was lost; another worker may run it again" in caplog.text


async def test_a_lease_that_cannot_be_renewed_ends_the_run_before_it_ends(bench: Bench) -> None:
    runs, lost = asyncio.Event(), asyncio.Event()

    @task(name="outages-unrenewed")
    async def losing() -> None:
        runs.set()
        try:
            await asyncio.Event().wait()
        finally:
            lost.set()

    await bench.send(losing())
    bench.faults.always["extend"] = ConnectionLostError("gone")
    worker = bench.start(settings=SHORT, max_tasks=1)
    await runs.wait()
    await lost.wait()
    assert await bench.counts() == (0, 0, 1, 0)  # by the store's clock, which stands still
    await bench.ended(worker)
    assert bench.faults.settled == []


async def test_leases_are_renewed_while_a_task_blocks_the_loop(bench: Bench) -> None:
    @task(name="outages-blocking")
    async def blocking() -> None:
        before = bench.faults.calls["extend"]
        while bench.faults.calls["extend"] < before + 4:  # longer than the lease
            pass
        seen.append("ended")

    await bench.send(blocking())
    worker = bench.start(settings=SHORT, max_tasks=1)
    await bench.ended(worker)
    assert seen == ["ended"]
    assert await bench.counts() == (0, 0, 0, 0)
