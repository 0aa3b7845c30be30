"""Handing out the urgent first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_task.core.ids import new_id
from async_task.spi.messages import Message
from async_task.testing.rig import FOREVER_MS, HIGH, LOW
from async_task.testing.selection import requires

if TYPE_CHECKING:
    from async_task.testing.rig import Rig


class Priorities:
    """What `Message.priority` promises."""

    @requires(priorities=2)
    async def test_higher_priority_comes_first(self, rig: Rig) -> None:
        """However much later it arrived, and whether one or many are asked for."""
        for priority in (0, 1, 0, 1):
            await rig.put(priority=priority)
        assert (await rig.take()).priority == 1
        assert [lease.priority for lease in await rig.take_many(3)] == [1, 0, 0]

    @requires(priorities=2)
    async def test_every_level_is_a_level(self, rig: Rig) -> None:
        """All levels declared are distinct, in strict order."""
        levels = range(rig.driver.capabilities.priorities)
        await rig.enqueue(*(Message(new_id(), HIGH, b"body", level) for level in levels))
        leases = [await rig.take() for _ in levels]
        assert [lease.priority for lease in leases] == [*reversed(levels)]

    @requires("ordered", priorities=2)
    async def test_equal_priorities_keep_their_order(self, rig: Rig) -> None:
        """Within a level it is first come, first served."""
        messages = [Message(new_id(), HIGH, b"body", priority=1) for _ in range(5)]
        await rig.enqueue(*messages)
        leases = await rig.take_many(5)
        assert [lease.id for lease in leases] == [each.id for each in messages]

    @requires(priorities=2)
    async def test_the_order_of_queues_comes_before_priority(self, rig: Rig) -> None:
        """Priority is compared within a queue only."""
        await rig.put(queue=LOW, priority=1)
        await rig.put(queue=HIGH, priority=0)
        leases = await rig.take_many(2, queues=(HIGH, LOW))
        assert [lease.queue for lease in leases] == [HIGH, LOW]

    @requires("delay", priorities=2)
    async def test_priority_does_not_hurry_what_is_not_due(self, rig: Rig) -> None:
        """A delayed message of high priority lets one of low priority pass."""
        await rig.put(priority=1, delay_ms=FOREVER_MS)
        await rig.put(priority=0)
        assert (await rig.take()).priority == 0
        await rig.assert_nothing()

    @requires("delay", priorities=2)
    async def test_priority_counts_once_it_is_due(self, rig: Rig) -> None:
        """What was delayed goes before what waited all the time at a lower level."""
        await rig.put(priority=0)
        await rig.put(priority=1, delay_ms=rig.tick_ms)
        await rig.advance(2)
        assert [lease.priority for lease in await rig.take_many(2)] == [1, 0]
