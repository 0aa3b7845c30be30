"""Storing messages."""

from __future__ import annotations

import asyncio

from async_task.core.ids import new_id
from async_task.spi.driver import ConsumerOptions
from async_task.spi.messages import Ack, Message
from async_task.testing.rig import FOREVER_MS, HIGH, LOW, Rig
from async_task.testing.selection import requires

EVERY_BYTE = bytes(range(256))
LONGEST_NAME = ("A-z_09" + "queue-name_" * 7)[:80]


class Enqueueing:
    """What `Driver.enqueue` promises."""

    async def test_a_stored_message_is_handed_out_as_it_was(self, rig: Rig) -> None:
        """A driver stores the body, whatever is in it, and never looks inside."""
        message = await rig.put(body=EVERY_BYTE)
        lease = await rig.take()
        assert (lease.id, lease.queue, lease.body) == (message.id, HIGH, EVERY_BYTE)

    async def test_an_empty_body_is_a_body(self, rig: Rig) -> None:
        """The body is bytes; none is as good as many."""
        await rig.put(body=b"")
        assert (await rig.take()).body == b""

    async def test_any_sixteen_bytes_are_an_id(self, rig: Rig) -> None:
        """An id is 16 bytes, not text: zeros, line ends and invalid UTF-8 are kept."""
        ids = [bytes(16), b"\xff" * 16, b"\r\n\x00'\"\\ :{}%*/\xc3(\x80"]
        await rig.enqueue(*(Message(each, HIGH, each) for each in ids))
        assert {lease.id for lease in await rig.take_many(3)} == set(ids)

    async def test_the_longest_queue_name_works(self, rig: Rig) -> None:
        """A queue's name has up to 80 letters, digits, `_` and `-`."""
        await rig.bounded(rig.driver.provision([LONGEST_NAME]))
        options = ConsumerOptions(queues=(LONGEST_NAME,), max_leases=1)
        async with rig.driver.consumer(options) as consumer:
            message = await rig.put(queue=LONGEST_NAME)
            wait_ms = rig.harness.patience_ms
            leases = await rig.look(queues=(LONGEST_NAME,), wait_ms=wait_ms, consumer=consumer)
        assert [(lease.id, lease.queue) for lease in leases] == [(message.id, LONGEST_NAME)]

    async def test_queues_are_apart(self, rig: Rig) -> None:
        """A message is handed out of its own queue only."""
        message = await rig.put(queue=LOW)
        await rig.assert_nothing(queues=(HIGH,))
        assert (await rig.take(queue=LOW)).id == message.id

    async def test_namespaces_are_apart(self, rig: Rig) -> None:
        """A namespace keeps one application's queues from another's in the same backend."""
        await rig.put()
        stranger = await rig.harness.make()
        async with Rig.of(rig.harness, stranger) as elsewhere:
            await elsewhere.assert_nothing()

    async def test_stored_means_visible_to_everybody(self, rig: Rig) -> None:
        """Once `enqueue` has returned, another process can take the message."""
        other = await rig.other()
        message = await rig.put()
        assert (await other.take()).id == message.id

    async def test_stored_means_durable(self, rig: Rig) -> None:
        """What was stored outlives the driver that stored it."""
        messages = await rig.put_many(3)
        await rig.driver.close()
        await rig.driver.open()
        other = await rig.other()
        assert {lease.id for lease in await other.take_many(3)} == {each.id for each in messages}

    async def test_a_batch_may_mix_queues(self, rig: Rig) -> None:
        """One call stores messages of several queues."""
        high, low = Message(new_id(), HIGH, b"1"), Message(new_id(), LOW, b"2")
        await rig.enqueue(low, high)
        assert (await rig.take(queue=HIGH)).id == high.id
        assert (await rig.take(queue=LOW)).id == low.id

    @requires("idempotent_enqueue")
    async def test_storing_twice_stores_once(self, rig: Rig) -> None:
        """A repeated call names every position as a duplicate and stores nothing."""
        messages = await rig.put_many(3)
        assert list(await rig.driver.enqueue(messages)) == [0, 1, 2]
        assert {lease.id for lease in await rig.take_many(3)} == {each.id for each in messages}
        await rig.assert_nothing()

    @requires("idempotent_enqueue")
    async def test_only_duplicates_are_named(self, rig: Rig) -> None:
        """The positions returned are those that were there; the others are stored."""
        old = await rig.put()
        new = [Message(new_id(), HIGH, b"new") for _ in range(2)]
        assert list(await rig.driver.enqueue([new[0], old, new[1]])) == [1]
        taken = {lease.id for lease in await rig.take_many(3)}
        assert taken == {old.id, new[0].id, new[1].id}

    @requires("idempotent_enqueue")
    async def test_a_duplicate_within_one_batch_is_named(self, rig: Rig) -> None:
        """The second of two equal ids in one call is a duplicate of the first."""
        first, second = Message(new_id(), HIGH, b"first"), Message(new_id(), HIGH, b"second")
        again = Message(first.id, HIGH, b"again")
        assert list(await rig.driver.enqueue([first, second, again])) == [2]
        bodies = sorted(lease.body for lease in await rig.take_many(2))
        assert bodies == [b"first", b"second"]
        await rig.assert_nothing()

    @requires("idempotent_enqueue", "delay")
    async def test_a_duplicate_changes_nothing(self, rig: Rig) -> None:
        """What is stored keeps its body and its time, whatever the second copy says."""
        message = await rig.put(body=b"first")
        again = Message(message.id, HIGH, b"second", delay_ms=FOREVER_MS)
        await rig.driver.enqueue([again])
        assert (await rig.take()).body == b"first"

    @requires("idempotent_enqueue")
    async def test_a_leased_message_is_unfinished(self, rig: Rig) -> None:
        """Storing again what somebody works on stores nothing, also after that lease ended."""
        message = await rig.put()
        lease = await rig.take()
        assert list(await rig.driver.enqueue([message])) == [0]
        await rig.settle(Ack(lease))
        await rig.assert_nothing()

    @requires("idempotent_enqueue")
    async def test_a_finished_message_may_come_again(self, rig: Rig) -> None:
        """Idempotence ends with the message: the same id is then a new message."""
        message = await rig.put()
        await rig.settle(Ack(await rig.take()))
        await rig.enqueue(message)
        lease = await rig.take()
        assert (lease.id, lease.deliveries, lease.state) == (message.id, 1, b"")

    @requires("idempotent_enqueue")
    async def test_one_of_many_concurrent_copies_is_stored(self, rig: Rig) -> None:
        """Two processes that store the same message at once store it once."""
        other = await rig.other()
        message = Message(new_id(), HIGH, b"body")
        drivers = [rig.driver, other.driver] * 4
        answers = await asyncio.gather(*(driver.enqueue([message]) for driver in drivers))
        assert sorted(map(list, answers)) == [[], *[[0]] * 7]
        await rig.take()
        await rig.assert_nothing()
