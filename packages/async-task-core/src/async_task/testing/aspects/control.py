"""Steering messages and queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from async_task.core.ids import new_id
from async_task.spi.capabilities import Facet
from async_task.spi.messages import (
    Ack,
    Extension,
    MessageState,
    Reject,
    Release,
    Retry,
    StoredResult,
)
from async_task.testing.rig import FOREVER_MS, HIGH, LOW
from async_task.testing.selection import requires

if TYPE_CHECKING:
    from async_task.testing.rig import Rig

READY, DELAYED = MessageState.READY, MessageState.DELAYED
LEASED, DEAD = MessageState.LEASED, MessageState.DEAD


class Controlling:
    """What the facet `Control` promises."""

    @requires(Facet.CONTROL)
    async def test_a_status_says_where_a_message_is(self, rig: Rig) -> None:
        """Ready, leased, ready again, and `None` once finished or never seen."""
        message = await rig.put()
        wanted = [new_id(), message.id]
        assert list(await rig.bounded(rig.control.status(wanted))) == [None, READY]
        lease = await rig.take()
        assert list(await rig.control.status(wanted)) == [None, LEASED]
        await rig.settle(Release(lease, 0, b""))
        assert list(await rig.control.status(wanted)) == [None, READY]
        await rig.settle(Ack(await rig.take()))
        assert list(await rig.control.status(wanted)) == [None, None]

    @requires(Facet.CONTROL, "delay")
    async def test_a_status_knows_what_is_due(self, rig: Rig) -> None:
        """A delayed message is ready once its time has come, whether or not anybody looked."""
        soon, late = await rig.put(delay_ms=rig.tick_ms), await rig.put(delay_ms=FOREVER_MS)
        await rig.advance(2)
        assert list(await rig.control.status([soon.id, late.id])) == [READY, DELAYED]
        await rig.settle(Retry(await rig.take(), FOREVER_MS, b""))
        assert list(await rig.control.status([soon.id])) == [DELAYED]

    @requires(Facet.CONTROL, Facet.DEAD_LETTERS)
    async def test_a_status_knows_the_dead(self, rig: Rig) -> None:
        """A dead letter is `DEAD` until it is requeued or deleted."""
        message = await rig.put()
        await rig.settle(Reject(await rig.take(), "failed", b""))
        assert list(await rig.control.status([message.id])) == [DEAD]
        await rig.dead_letters.requeue(HIGH, {message.id: b""})
        assert list(await rig.control.status([message.id])) == [READY]

    @requires(Facet.CONTROL)
    async def test_a_cancelled_message_that_waits_is_gone(self, rig: Rig) -> None:
        """The answer is the state it was in; the others stay."""
        doomed, kept = await rig.put(), await rig.put()
        answer = await rig.bounded(rig.control.cancel([new_id(), doomed.id]))
        assert list(answer) == [None, READY]
        assert list(await rig.control.status([doomed.id, kept.id])) == [None, READY]
        assert (await rig.take()).id == kept.id
        await rig.assert_nothing()

    @requires(Facet.CONTROL, "delay")
    async def test_a_cancelled_message_that_is_delayed_is_gone(self, rig: Rig) -> None:
        """It does not come back when it would have been due."""
        message = await rig.put(delay_ms=rig.tick_ms * 10)
        assert list(await rig.control.cancel([message.id])) == [DELAYED]
        await rig.advance(12)
        await rig.assert_nothing()

    @requires(Facet.CONTROL)
    @pytest.mark.parametrize("kind", [Retry, Release])
    async def test_a_cancelled_message_that_is_leased_does_not_come_back(
        self, rig: Rig, kind: type[Retry | Release]
    ) -> None:
        """Its lease is still good for one settlement, but giving it back ends it."""
        message = await rig.put()
        lease = await rig.take()
        assert list(await rig.control.cancel([message.id])) == [LEASED]
        assert list(await rig.control.status([message.id])) == [LEASED]
        await rig.settle(kind(lease, 0, b""))
        await rig.assert_nothing()
        assert list(await rig.control.status([message.id])) == [None]

    @requires(Facet.CONTROL)
    async def test_a_cancelled_message_whose_worker_died_does_not_come_back(self, rig: Rig) -> None:
        """An expired lease of a cancelled message is reclaimed by forgetting it."""
        message = await rig.put()
        await rig.take(visibility_ms=10 * rig.tick_ms)
        await rig.control.cancel([message.id])
        await rig.lapse_after(10)
        await rig.bounded(rig.driver.maintain())
        await rig.assert_nothing()
        assert list(await rig.control.status([message.id])) == [None]

    @requires(Facet.CONTROL, Facet.RESULTS)
    async def test_a_cancelled_message_may_still_be_done(self, rig: Rig) -> None:
        """A cancellation that comes too late does not undo an outcome."""
        message = await rig.put()
        lease = await rig.take()
        await rig.control.cancel([message.id])
        await rig.settle(Ack(lease, StoredResult(b"done", FOREVER_MS)))
        assert list(await rig.results.get([message.id])) == [b"done"]
        await rig.assert_nothing()

    @requires(Facet.CONTROL)
    async def test_a_rejected_message_that_was_cancelled_is_not_handed_out(self, rig: Rig) -> None:
        """However its lease ends."""
        message = await rig.put()
        lease = await rig.take()
        await rig.control.cancel([message.id])
        await rig.settle(Reject(lease, "failed", b""))
        await rig.assert_nothing()

    @requires(Facet.CONTROL, Facet.DEAD_LETTERS)
    async def test_cancelling_leaves_the_dead_alone(self, rig: Rig) -> None:
        """A dead letter is told to be dead and stays as it is."""
        message = await rig.put()
        await rig.settle(Reject(await rig.take(), "failed", b""))
        assert list(await rig.control.cancel([message.id])) == [DEAD]
        assert list(await rig.control.status([message.id])) == [DEAD]
        assert await rig.dead_letters.requeue(HIGH, {message.id: b""}) == 1
        assert (await rig.take()).id == message.id

    @requires(Facet.CONTROL)
    async def test_cancelling_is_seen_by_every_process(self, rig: Rig) -> None:
        """Anybody may cancel what anybody stored."""
        other = await rig.other()
        message = await rig.put()
        assert list(await other.control.cancel([message.id])) == [READY]
        await rig.assert_nothing()

    @requires(Facet.CONTROL, "idempotent_enqueue")
    async def test_a_cancelled_message_may_be_stored_anew(self, rig: Rig) -> None:
        """A cancellation ends the message it was for, and no later one."""
        message = await rig.put()
        await rig.control.cancel([message.id])
        await rig.enqueue(message)
        assert await rig.extend(await rig.take()) == [Extension.HELD]

    @requires(Facet.CONTROL)
    async def test_a_paused_queue_hands_out_nothing(self, rig: Rig) -> None:
        """To no process, until it is resumed; other queues go on, and messages are still taken."""
        other = await rig.other()
        high = await rig.put(queue=HIGH)
        await rig.bounded(rig.control.pause(HIGH))
        low = await rig.put(queue=LOW)
        assert (await rig.take_many(1, queues=(HIGH, LOW)))[0].id == low.id
        await rig.put(queue=HIGH)
        await rig.assert_nothing()
        await other.assert_nothing()
        await rig.bounded(other.control.resume(HIGH))
        assert (await rig.take()).id == high.id

    @requires(Facet.CONTROL)
    async def test_pausing_does_not_touch_what_is_held(self, rig: Rig) -> None:
        """Who works may finish; what is given back waits for the queue."""
        await rig.put_many(2)
        one, two = await rig.take_many(2)
        await rig.control.pause(HIGH)
        await rig.settle(Ack(one), Release(two, 0, b""))
        await rig.assert_nothing()
        await rig.control.resume(HIGH)
        assert (await rig.take()).id == two.id

    @requires(Facet.CONTROL)
    async def test_pausing_and_resuming_twice_is_once(self, rig: Rig) -> None:
        """Both are idempotent, and `paused` names what is paused, sorted."""
        assert list(await rig.bounded(rig.control.paused())) == []
        for queue in (LOW, HIGH, LOW):
            await rig.control.pause(queue)
        assert list(await rig.control.paused()) == [HIGH, LOW]
        for _ in range(2):
            await rig.control.resume(HIGH)
        assert list(await rig.control.paused()) == [LOW]

    @requires(Facet.CONTROL)
    async def test_a_pause_outlives_the_process(self, rig: Rig) -> None:
        """It is a property of the queue in the store."""
        await rig.put()
        await rig.control.pause(HIGH)
        await rig.driver.close()
        await rig.driver.open()
        other = await rig.other()
        await other.assert_nothing()
        assert list(await other.control.paused()) == [HIGH]

    @requires(Facet.CONTROL)
    async def test_a_waiting_lease_sees_a_queue_resumed(self, rig: Rig) -> None:
        """It is answered as if the messages had just come."""
        message = await rig.put()
        await rig.control.pause(HIGH)
        async with rig.waiting() as leases:
            await rig.control.resume(HIGH)
        assert [lease.id for lease in leases] == [message.id]

    @requires(Facet.CONTROL)
    async def test_queues_are_listed(self, rig: Rig) -> None:
        """Those that were provisioned or hold anything, sorted, once each."""
        assert list(await rig.bounded(rig.control.queues())) == [HIGH, LOW]
        await rig.put(queue="another")
        await rig.put(queue=HIGH)
        assert list(await rig.control.queues()) == ["another", HIGH, LOW]

    @requires(Facet.CONTROL, Facet.DEAD_LETTERS)
    async def test_a_queue_of_dead_letters_only_is_listed(self, rig: Rig) -> None:
        """Whoever looks for trouble finds it."""
        await rig.put(queue="another")
        await rig.settle(Reject(await rig.take(queue="another"), "failed", b""))
        assert "another" in await rig.control.queues()
