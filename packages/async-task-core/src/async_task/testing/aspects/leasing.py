"""Taking messages."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from async_task.core.ids import new_id
from async_task.spi.messages import Message, Release
from async_task.testing.rig import FOREVER_MS, HIGH, LOW
from async_task.testing.selection import requires

if TYPE_CHECKING:
    from async_task.testing.rig import Rig


class Leasing:
    """What `Consumer.lease`, `recover` and `interrupt` promise."""

    async def test_a_first_lease_says_so(self, rig: Rig) -> None:
        """A message handed out for the first time counts one delivery, no crash and no state."""
        await rig.put()
        lease_id = os.urandom(16)
        lease = await rig.take(lease_id=lease_id)
        assert lease.lease_id == lease_id
        assert (lease.deliveries, lease.crashes, lease.state) == (1, 0, b"")
        assert (lease.priority, lease.expired) == (0, False)

    async def test_a_leased_message_is_nobody_elses(self, rig: Rig) -> None:
        """While a lease holds, no consumer of any process is handed the message."""
        await rig.put()
        await rig.take()
        other = await rig.other()
        await rig.assert_nothing()
        await other.assert_nothing()
        assert not await rig.look(consumer=await rig.another_consumer())

    async def test_the_limit_is_never_exceeded(self, rig: Rig) -> None:
        """However many messages are ready, over however many queues: `limit` and no more."""
        await rig.put_many(5, queue=HIGH)
        await rig.put_many(5, queue=LOW)
        leases = await rig.look(3, queues=(HIGH, LOW), wait_ms=rig.harness.patience_ms)
        assert 1 <= len(leases) <= 3
        leases += await rig.look(7, queues=(HIGH, LOW), wait_ms=rig.harness.patience_ms)
        rest = await rig.take_many(10 - len(leases), queues=(HIGH, LOW))
        assert len({lease.id for lease in leases + rest}) == 10

    async def test_what_was_not_asked_for_stays_for_others(self, rig: Rig) -> None:
        """A consumer holds what it was handed, not what it might want next."""
        await rig.put_many(4)
        mine = await rig.take()
        other = await rig.other()
        theirs = await other.take_many(3)
        assert len({mine.id, *(lease.id for lease in theirs)}) == 4

    async def test_nothing_ready_is_an_empty_answer(self, rig: Rig) -> None:
        """With `wait_ms=0` a lease looks once; with more it gives up in the end."""
        assert await rig.look(10, wait_ms=0) == []
        assert await rig.look(10, wait_ms=50) == []

    async def test_one_message_is_reason_enough_to_return(self, rig: Rig) -> None:
        """A lease does not wait for its limit to be reached, only for the first message."""
        message = await rig.put()
        async with asyncio.timeout(rig.harness.patience_ms / 1000):
            leases = await rig.look(10, wait_ms=FOREVER_MS)
        assert [lease.id for lease in leases] == [message.id]

    async def test_a_waiting_lease_sees_a_new_message(self, rig: Rig) -> None:
        """A lease that waits is answered when a message comes."""
        async with rig.waiting() as leases:
            message = await rig.put()
        assert [lease.id for lease in leases] == [message.id]

    async def test_a_waiting_lease_sees_a_message_of_another_process(self, rig: Rig) -> None:
        """It does not matter which process stores it."""
        other = await rig.other()
        async with rig.waiting() as leases:
            message = await other.put()
        assert [lease.id for lease in leases] == [message.id]

    async def test_a_waiting_lease_sees_what_is_given_back(self, rig: Rig) -> None:
        """A released message wakes a lease as a new one does."""
        message = await rig.put()
        held = await rig.take()
        async with rig.waiting() as leases:
            await rig.settle(Release(held, 0, b""))
        assert [lease.id for lease in leases] == [message.id]

    async def test_a_lease_waits_on_all_its_queues(self, rig: Rig) -> None:
        """The first message of any of them ends the wait."""
        async with rig.waiting(queues=(HIGH, LOW)) as leases:
            message = await rig.put(queue=LOW)
        assert [lease.id for lease in leases] == [message.id]

    async def test_one_message_answers_one_of_many_waiting(self, rig: Rig) -> None:
        """Of several leases waiting in several processes one is handed the message."""
        other = await rig.other()
        async with rig.waiting() as first, other.waiting() as second:
            messages = [await rig.put(), await rig.put()]
        assert {lease.id for lease in [*first, *second]} <= {each.id for each in messages}
        rest = await rig.take_many(2 - len(first) - len(second))
        assert len({lease.id for lease in [*first, *second, *rest]}) == 2

    async def test_queues_are_tried_in_the_order_given(self, rig: Rig) -> None:
        """All that is ready in an earlier queue comes before anything of a later one."""
        low = await rig.put(queue=LOW)
        high = await rig.put(queue=HIGH)
        assert (await rig.take_many(1, queues=(HIGH, LOW)))[0].id == high.id
        assert (await rig.take_many(1, queues=(HIGH, LOW)))[0].id == low.id
        first = await rig.put(queue=HIGH)
        second = await rig.put(queue=LOW)
        leases = await rig.take_many(2, queues=(LOW, HIGH))
        assert [lease.id for lease in leases] == [second.id, first.id]

    async def test_only_the_queues_asked_for_are_tried(self, rig: Rig) -> None:
        """A lease names a subset of the consumer's queues."""
        await rig.put(queue=LOW)
        await rig.assert_nothing(queues=(HIGH,))

    @requires("ordered")
    async def test_messages_come_in_order_of_arrival(self, rig: Rig) -> None:
        """What is due at the same time is handed out first come, first served, ids aside."""
        ids = sorted((new_id() for _ in range(10)), reverse=True)
        await rig.enqueue(*(Message(each, HIGH, b"body") for each in ids[:5]))
        for each in ids[5:]:
            await rig.enqueue(Message(each, HIGH, b"body"))
        assert [(await rig.take()).id for _ in ids[:3]] == ids[:3]
        assert [lease.id for lease in await rig.take_many(7)] == ids[3:]

    async def test_interrupting_ends_a_wait(self, rig: Rig) -> None:
        """`interrupt` makes every waiting lease of the consumer return now with what it has."""
        async with rig.waiting() as first, rig.waiting() as second:
            rig.consumer.interrupt()
        assert first == second == []

    async def test_a_lease_after_an_interruption_waits_as_usual(self, rig: Rig) -> None:
        """An interruption ends the waits there are, and none that begins afterwards."""
        rig.consumer.interrupt()
        async with rig.waiting():
            rig.consumer.interrupt()
        async with rig.waiting(queues=(HIGH,)) as mine:
            await rig.put(queue=HIGH)
        assert len(mine) == 1

    async def test_interrupting_is_for_one_consumer(self, rig: Rig) -> None:
        """What others of this driver or another process wait for goes on."""
        other, sibling = await rig.other(), await rig.another_consumer()
        call = rig.look(queues=(LOW,), wait_ms=FOREVER_MS, consumer=sibling)
        async with other.waiting() as theirs, rig.running(call) as siblings:
            async with rig.waiting():
                rig.consumer.interrupt()
            await rig.put(queue=HIGH)
            await rig.put(queue=LOW)
        assert len(theirs) == len(siblings.result()) == 1

    async def test_leaving_a_consumer_gives_nothing_back(self, rig: Rig) -> None:
        """Leases outlive their consumer until they end as they would have."""
        await rig.put()
        rig.skip_unless_leases_end_by_time()
        async with rig.driver.consumer(rig.options) as consumer:
            assert await rig.look(wait_ms=rig.harness.patience_ms, consumer=consumer)
        await rig.assert_nothing()

    @requires("recoverable_lease")
    async def test_what_a_lease_id_took_can_be_read_again(self, rig: Rig) -> None:
        """After a lease of unknown outcome `recover` returns what it took, as it was handed out."""
        await rig.put_many(3)
        lease_id = os.urandom(16)
        leases = await rig.look(
            2, wait_ms=rig.harness.patience_ms, lease_id=lease_id, visibility_ms=FOREVER_MS
        )
        await rig.take_many(3 - len(leases))
        recovered = await rig.bounded(rig.consumer.recover(lease_id))
        assert sorted(recovered, key=lambda lease: lease.id) == sorted(
            leases, key=lambda lease: lease.id
        )

    @requires("recoverable_lease")
    async def test_an_unknown_lease_id_took_nothing(self, rig: Rig) -> None:
        """If the call never reached the store there is nothing to recover."""
        await rig.put()
        assert list(await rig.consumer.recover(os.urandom(16))) == []
        await rig.take()

    @requires("recoverable_lease")
    async def test_recovering_changes_nothing(self, rig: Rig) -> None:
        """Reading what is held neither counts as a delivery nor lets it be held longer."""
        await rig.put()
        lease_id = os.urandom(16)
        lease = await rig.take(lease_id=lease_id, visibility_ms=rig.tick_ms)
        for _ in range(2):
            recovered = await rig.consumer.recover(lease_id)
            assert [each.deliveries for each in recovered] in ([lease.deliveries], [])
        await rig.lapse()
        again = await rig.take()
        assert (again.deliveries, again.crashes) == (2, 1)
        assert list(await rig.consumer.recover(lease_id)) == []

    @requires("recoverable_lease")
    async def test_what_was_settled_is_not_recovered(self, rig: Rig) -> None:
        """`recover` returns what is still held."""
        await rig.put()
        lease_id = os.urandom(16)
        await rig.settle(Release(await rig.take(lease_id=lease_id), 0, b""))
        assert list(await rig.consumer.recover(lease_id)) == []
