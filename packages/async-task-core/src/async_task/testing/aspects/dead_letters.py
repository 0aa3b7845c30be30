"""Keeping and returning rejected messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_task.core.ids import new_id
from async_task.spi.capabilities import Facet
from async_task.spi.messages import Message, Reject, Retry
from async_task.testing.aspects.settling import STATE
from async_task.testing.rig import HIGH, LOW
from async_task.testing.selection import requires

if TYPE_CHECKING:
    from async_task.spi.messages import DeadLetter
    from async_task.testing.rig import Rig


async def bury(rig: Rig, count: int, *, queue: str = HIGH) -> list[bytes]:
    """Reject new messages; return their ids in order of id."""
    messages = await rig.put_many(count, queue=queue)
    leases = await rig.take_many(count, queues=(queue,))
    await rig.settle(*(Reject(lease, "failed", b"state") for lease in leases))
    return sorted(message.id for message in messages)


async def browse(rig: Rig, queue: str = HIGH, limit: int = 100) -> list[DeadLetter]:
    """Read the first page of a queue's dead letters."""
    return list(await rig.bounded(rig.dead_letters.browse(queue, limit=limit)))


class DeadLetterKeeping:
    """What `Reject` and the facet `DeadLetters` promise."""

    @requires(Facet.DEAD_LETTERS)
    async def test_a_rejected_message_is_kept_as_it_was(self, rig: Rig) -> None:
        """With its raw body, the reason and state it was rejected with, and its counters."""
        body = bytes(range(256))
        message = Message(new_id(), HIGH, body)
        await rig.enqueue(message)
        await rig.settle(Retry(await rig.take(), 0, b"before"))
        await rig.take_and_crash()
        await rig.settle(Reject(await rig.take(), "bad_payload", STATE))
        [letter] = await browse(rig)
        assert (letter.id, letter.queue, letter.body) == (message.id, HIGH, body)
        assert (letter.reason, letter.state) == ("bad_payload", STATE)
        assert (letter.deliveries, letter.crashes, letter.priority) == (3, 1, 0)
        assert letter.died_at_ms > 0

    @requires(Facet.DEAD_LETTERS)
    async def test_a_dead_letter_is_not_handed_out(self, rig: Rig) -> None:
        """It is counted apart and stays until somebody moves or deletes it."""
        await bury(rig, 2)
        await rig.assert_nothing()
        stats = await rig.stats()
        assert {stats.ready, stats.leased} <= {0, None}
        assert stats.dead in (2, None)

    @requires(Facet.DEAD_LETTERS)
    async def test_dead_letters_belong_to_their_queue(self, rig: Rig) -> None:
        """Each queue has its own."""
        high, low = await bury(rig, 1, queue=HIGH), await bury(rig, 1, queue=LOW)
        assert [letter.id for letter in await browse(rig, HIGH)] == high
        assert [letter.id for letter in await browse(rig, LOW)] == low

    @requires(Facet.DEAD_LETTERS)
    async def test_a_dead_letter_returns_to_its_queue(self, rig: Rig) -> None:
        """Ready now, with the state given and with counters that start again."""
        await rig.put(body=b"unchanged")
        await rig.take_and_crash()
        await rig.settle(Reject(await rig.take(), "failed", b"before"))
        [letter] = await browse(rig)
        assert await rig.bounded(rig.dead_letters.requeue(HIGH, {letter.id: STATE})) == 1
        lease = await rig.take()
        assert (lease.id, lease.body, lease.state) == (letter.id, b"unchanged", STATE)
        assert (lease.deliveries, lease.crashes, lease.expired) == (1, 0, False)
        assert await browse(rig) == []

    @requires(Facet.DEAD_LETTERS)
    async def test_a_returning_dead_letter_has_no_expiry(self, rig: Rig) -> None:
        """Who sends it back wants it run, however late."""
        await rig.put(expires_in_ms=rig.tick_ms)
        await rig.advance(2)
        lease = await rig.take()
        assert lease.expired
        await rig.settle(Reject(lease, "expired", b""))
        await rig.dead_letters.requeue(HIGH, {lease.id: b""})
        assert not (await rig.take()).expired

    @requires(Facet.DEAD_LETTERS)
    async def test_a_waiting_lease_sees_a_dead_letter_return(self, rig: Rig) -> None:
        """A requeued message wakes a lease as a new one does."""
        [dead] = await bury(rig, 1)
        async with rig.waiting() as leases:
            await rig.dead_letters.requeue(HIGH, {dead: b""})
        assert [lease.id for lease in leases] == [dead]

    @requires(Facet.DEAD_LETTERS, priorities=2)
    async def test_priority_outlives_death(self, rig: Rig) -> None:
        """A requeued message is as urgent as it was."""
        await rig.put(priority=1)
        lease = await rig.take()
        await rig.settle(Reject(lease, "failed", b""))
        assert [letter.priority for letter in await browse(rig)] == [1]
        await rig.put(priority=0)
        await rig.dead_letters.requeue(HIGH, {lease.id: b""})
        assert [each.priority for each in await rig.take_many(2)] == [1, 0]

    @requires(Facet.DEAD_LETTERS)
    async def test_all_dead_letters_of_a_queue_can_be_deleted(self, rig: Rig) -> None:
        """Without ids `purge` empties one queue, says how many, and leaves the others."""
        await bury(rig, 3, queue=HIGH)
        low = await bury(rig, 1, queue=LOW)
        assert await rig.bounded(rig.dead_letters.purge(HIGH)) == 3
        assert await browse(rig, HIGH) == []
        assert [letter.id for letter in await browse(rig, LOW)] == low
        assert await rig.dead_letters.purge(HIGH) == 0

    @requires(Facet.DEAD_LETTERS, "dead_letters_by_id")
    async def test_browsing_goes_page_by_page(self, rig: Rig) -> None:
        """In order of id, up to `limit`, from after the last id of the page before."""
        ids = await bury(rig, 5)
        pages: list[list[bytes]] = []
        after: bytes | None = None
        for _ in range(3):
            page = await rig.dead_letters.browse(HIGH, limit=2, after=after)
            pages.append([letter.id for letter in page])
            after = page[-1].id
        assert pages == [ids[0:2], ids[2:4], ids[4:5]]
        assert list(await rig.dead_letters.browse(HIGH, limit=2, after=after)) == []

    @requires(Facet.DEAD_LETTERS, "dead_letters_by_id")
    async def test_dead_letters_are_read_by_id(self, rig: Rig) -> None:
        """Aligned with the ids; nothing for an id that is not dead, or dead elsewhere."""
        ids = await bury(rig, 2)
        elsewhere = await bury(rig, 1, queue=LOW)
        alive = await rig.put()
        wanted = [ids[1], new_id(), alive.id, elsewhere[0], ids[0]]
        letters = await rig.bounded(rig.dead_letters.get(HIGH, wanted))
        found = [letter and letter.id for letter in letters]
        assert found == [ids[1], None, None, None, ids[0]]

    @requires(Facet.DEAD_LETTERS, "dead_letters_by_id")
    async def test_only_the_dead_letters_named_return(self, rig: Rig) -> None:
        """Each with the state of its own; ids that are not among the dead are skipped."""
        ids = await bury(rig, 4)
        [elsewhere] = await bury(rig, 1, queue=LOW)
        states = {ids[2]: b"two", new_id(): b"nobody", ids[0]: b"zero", elsewhere: b"elsewhere"}
        assert await rig.dead_letters.requeue(HIGH, states) == 2
        returned = {lease.id: lease.state for lease in await rig.take_many(2)}
        assert returned == {ids[0]: b"zero", ids[2]: b"two"}
        await rig.assert_nothing()
        assert [letter.id for letter in await browse(rig)] == [ids[1], ids[3]]

    @requires(Facet.DEAD_LETTERS, "dead_letters_by_id")
    async def test_returning_twice_returns_once(self, rig: Rig) -> None:
        """A repeated call skips what is alive again, even while somebody works on it."""
        [dead] = await bury(rig, 1)
        assert await rig.dead_letters.requeue(HIGH, {dead: b"first"}) == 1
        assert await rig.dead_letters.requeue(HIGH, {dead: b"second"}) == 0
        lease = await rig.take()
        assert lease.state == b"first"
        assert await rig.dead_letters.requeue(HIGH, {dead: b"third"}) == 0
        await rig.assert_nothing()

    @requires(Facet.DEAD_LETTERS, "dead_letters_by_id")
    async def test_only_the_dead_letters_named_are_deleted(self, rig: Rig) -> None:
        """And the answer counts those that were there."""
        ids = await bury(rig, 3)
        [elsewhere] = await bury(rig, 1, queue=LOW)
        doomed = [ids[1], new_id(), elsewhere]
        assert await rig.dead_letters.purge(HIGH, doomed) == 1
        assert [letter.id for letter in await browse(rig)] == [ids[0], ids[2]]
        assert [letter.id for letter in await browse(rig, LOW)] == [elsewhere]

    @requires(Facet.DEAD_LETTERS, "idempotent_enqueue")
    async def test_a_dead_letter_is_unfinished(self, rig: Rig) -> None:
        """A message is in one state at a time: what is dead is not stored beside itself."""
        message = await rig.put()
        await rig.settle(Reject(await rig.take(), "failed", b""))
        assert list(await rig.driver.enqueue([message])) == [0]
        await rig.assert_nothing()
