"""Counting and emptying queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_task.spi.capabilities import Facet
from async_task.spi.messages import Ack, Reject
from async_task.testing.rig import FOREVER_MS, HIGH, LOW
from async_task.testing.selection import requires

if TYPE_CHECKING:
    from async_task.spi.messages import QueueStats
    from async_task.testing.rig import Rig


def agree(stats: QueueStats, **expected: int) -> bool:
    """Compare counts where the backend knows them."""
    counts = {name: getattr(stats, name) for name in expected}
    return all(counts[name] in (number, None) for name, number in expected.items())


class Counting:
    """What `Driver.stats` and `Driver.purge` promise."""

    async def test_an_empty_queue_counts_nothing(self, rig: Rig) -> None:
        """Zero, or `None` for what a backend cannot know."""
        stats = await rig.stats()
        assert stats.queue == HIGH
        assert agree(stats, ready=0, delayed=0, leased=0, dead=0, oldest_ready_ms=0)

    async def test_ready_and_leased_messages_are_counted(self, rig: Rig) -> None:
        """Each in one place."""
        await rig.put_many(5)
        leases = await rig.take_many(2)
        assert agree(await rig.stats(), ready=3, delayed=0, leased=2, dead=0)
        await rig.settle(*map(Ack, leases))
        assert agree(await rig.stats(), ready=3, delayed=0, leased=0, dead=0)

    @requires("delay")
    async def test_delayed_messages_are_counted_apart(self, rig: Rig) -> None:
        """Until they are due."""
        await rig.put(delay_ms=rig.tick_ms)
        await rig.put(delay_ms=FOREVER_MS)
        await rig.advance(2)
        assert agree(await rig.stats(), ready=1, delayed=1, leased=0, dead=0)

    @requires(Facet.DEAD_LETTERS)
    async def test_dead_letters_are_counted(self, rig: Rig) -> None:
        """In the queue they died in."""
        await rig.put_many(2)
        await rig.settle(Reject(await rig.take(), "failed", b""))
        assert agree(await rig.stats(), ready=1, leased=0, dead=1)

    async def test_counts_are_aligned_with_the_queues(self, rig: Rig) -> None:
        """In the order asked for, also for a queue nobody knows."""
        await rig.put_many(2, queue=LOW)
        stats = await rig.bounded(rig.driver.stats([LOW, HIGH]))
        assert [each.queue for each in stats] == [LOW, HIGH]
        assert agree(stats[0], ready=2)
        assert agree(stats[1], ready=0)

    async def test_the_oldest_message_tells_its_age(self, rig: Rig) -> None:
        """How long it has been due, not how long ago it was stored."""
        await rig.put()
        await rig.advance(3)
        await rig.put()
        oldest_ms = (await rig.stats()).oldest_ready_ms
        assert oldest_ms is None or oldest_ms >= 3 * rig.tick_ms

    async def test_purging_deletes_what_is_ready(self, rig: Rig) -> None:
        """And says how many; other queues keep theirs."""
        await rig.put_many(3, queue=HIGH)
        await rig.put_many(1, queue=LOW)
        assert await rig.bounded(rig.driver.purge(HIGH)) == 3
        assert await rig.driver.purge(HIGH) == 0
        assert (await rig.take_many(1, queues=(HIGH, LOW)))[0].queue == LOW
        await rig.assert_nothing()

    @requires("delay", "purges_delayed")
    async def test_purging_deletes_what_is_delayed(self, rig: Rig) -> None:
        """It does not come when it would have been due."""
        await rig.put(delay_ms=10 * rig.tick_ms)
        assert await rig.driver.purge(HIGH) == 1
        await rig.advance(12)
        await rig.assert_nothing()

    async def test_purging_leaves_what_is_held(self, rig: Rig) -> None:
        """A leased message is somebody's work."""
        await rig.put_many(2)
        lease = await rig.take()
        assert await rig.driver.purge(HIGH) == 1
        await rig.settle(Ack(lease))

    @requires(Facet.DEAD_LETTERS)
    async def test_purging_leaves_the_dead(self, rig: Rig) -> None:
        """Dead letters have a `purge` of their own."""
        await rig.put()
        await rig.settle(Reject(await rig.take(), "failed", b""))
        assert await rig.driver.purge(HIGH) == 0
        assert len(await rig.dead_letters.browse(HIGH, limit=10)) == 1
