"""Keeping outcomes for a while."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from async_task.core.ids import new_id
from async_task.spi.capabilities import Facet
from async_task.spi.messages import Ack, Reject, StoredResult
from async_task.testing.rig import FOREVER_MS
from async_task.testing.selection import requires

if TYPE_CHECKING:
    from async_task.testing.rig import Rig

BODY = bytes(range(256))
KEPT = StoredResult(BODY, FOREVER_MS)


class ResultKeeping:
    """What the facet `Results` and the `result` of a settlement promise."""

    @requires(Facet.RESULTS)
    async def test_an_acknowledgement_stores_its_result(self, rig: Rig) -> None:
        """Under the message's id, for everybody."""
        message = await rig.put()
        await rig.settle(Ack(await rig.take(), KEPT))
        other = await rig.other()
        assert list(await rig.bounded(rig.results.get([message.id]))) == [BODY]
        assert list(await other.results.get([message.id])) == [BODY]

    @requires(Facet.RESULTS)
    async def test_a_rejection_stores_its_result(self, rig: Rig) -> None:
        """A failure is an outcome too."""
        message = await rig.put()
        await rig.settle(Reject(await rig.take(), "failed", b"", KEPT))
        assert list(await rig.results.get([message.id])) == [BODY]

    @requires(Facet.RESULTS)
    async def test_without_a_result_nothing_is_stored(self, rig: Rig) -> None:
        """A task that returns nothing of interest leaves nothing behind."""
        message = await rig.put()
        await rig.settle(Ack(await rig.take()))
        assert list(await rig.results.get([message.id])) == [None]

    @requires(Facet.RESULTS, "fence")
    async def test_a_stale_settlement_stores_no_result(self, rig: Rig) -> None:
        """Only who holds the message says what came of it."""
        message = await rig.put()
        lost = await rig.take_and_crash()
        current = await rig.take()
        assert await rig.stale(Ack(lost, StoredResult(b"lost", FOREVER_MS))) == [0]
        assert list(await rig.results.get([message.id])) == [None]
        await rig.settle(Ack(current, KEPT))
        await rig.stale(Ack(lost, StoredResult(b"lost", FOREVER_MS)))
        assert list(await rig.results.get([message.id])) == [BODY]

    @requires(Facet.RESULTS)
    async def test_results_are_put_and_read_in_batches(self, rig: Rig) -> None:
        """Reading is aligned with the ids, `None` where there is nothing; empty is a result."""
        one, two, nobody = new_id(), new_id(), new_id()
        await rig.bounded(rig.results.put({one: StoredResult(b"", FOREVER_MS), two: KEPT}))
        assert list(await rig.results.get([two, nobody, one, two])) == [BODY, None, b"", BODY]

    @requires(Facet.RESULTS)
    async def test_the_last_result_counts(self, rig: Rig) -> None:
        """A later outcome of the same id replaces the earlier, and its time."""
        one = new_id()
        await rig.results.put({one: StoredResult(b"first", rig.tick_ms)})
        await rig.results.put({one: KEPT})
        await rig.advance(2)
        await rig.bounded(rig.driver.maintain())
        assert list(await rig.results.get([one])) == [BODY]

    @requires(Facet.RESULTS)
    async def test_a_result_does_not_outlive_its_time(self, rig: Rig) -> None:
        """After `ttl_ms` it is not there, whether or not anybody has tidied up yet."""
        message, put = await rig.put(), new_id()
        await rig.settle(Ack(await rig.take(), StoredResult(BODY, rig.tick_ms)))
        await rig.results.put({put: StoredResult(BODY, rig.tick_ms)})
        await rig.advance(2)
        assert list(await rig.results.get([message.id, put])) == [None, None]
        assert dict(await rig.results.wait([message.id, put], wait_ms=0)) == {}
        await rig.bounded(rig.driver.maintain())
        assert list(await rig.results.get([message.id, put])) == [None, None]

    @requires(Facet.RESULTS)
    async def test_maintain_keeps_what_still_has_time(self, rig: Rig) -> None:
        """Tidying up drops outlived results only."""
        short, long = new_id(), new_id()
        await rig.results.put({short: StoredResult(b"short", rig.tick_ms), long: KEPT})
        await rig.advance(2)
        await rig.bounded(rig.driver.maintain())
        assert list(await rig.results.get([short, long])) == [None, BODY]

    @requires(Facet.RESULTS)
    async def test_waiting_ends_with_the_first_result(self, rig: Rig) -> None:
        """One call waits for many ids and returns those that are there."""
        message, nobody = await rig.put(), new_id()
        other = await rig.other()
        lease = await other.take()
        async with rig.running(
            rig.results.wait([nobody, message.id], wait_ms=FOREVER_MS)
        ) as waiting:
            await other.settle(Ack(lease, KEPT))
        assert dict(waiting.result()) == {message.id: BODY}

    @requires(Facet.RESULTS)
    async def test_waiting_for_what_is_there_returns_at_once(self, rig: Rig) -> None:
        """With everything of the ids asked for that is there, and nothing else."""
        one, two, three, nobody = (new_id() for _ in range(4))
        await rig.results.put({one: KEPT, two: KEPT, three: KEPT})
        async with asyncio.timeout(rig.harness.patience_ms / 1000):
            found = await rig.results.wait([one, nobody, two], wait_ms=FOREVER_MS)
        assert dict(found) == {one: BODY, two: BODY}

    @requires(Facet.RESULTS)
    @pytest.mark.parametrize("wait_ms", [0, 50])
    async def test_waiting_in_vain_is_an_empty_answer(self, rig: Rig, wait_ms: int) -> None:
        """After `wait_ms` without a result."""
        call = rig.results.wait([new_id()], wait_ms=wait_ms)
        assert dict(await rig.bounded(call, wait_ms=wait_ms)) == {}

    @requires(Facet.RESULTS)
    async def test_cancelling_a_wait_loses_nothing(self, rig: Rig) -> None:
        """The result is there for whoever asks next."""
        for turns in range(10):
            message = await rig.put()
            waiting = asyncio.create_task(rig.results.wait([message.id], wait_ms=FOREVER_MS))
            await rig.turns()
            await rig.settle(Ack(await rig.take(), KEPT))
            await rig.turns(turns)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            wait_ms = rig.harness.patience_ms
            found = await rig.results.wait([message.id], wait_ms=wait_ms)
            assert dict(found) == {message.id: BODY}
