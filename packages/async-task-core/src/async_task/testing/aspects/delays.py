"""Handing out messages later."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from async_task.spi.messages import Release, Retry
from async_task.testing.rig import FOREVER_MS
from async_task.testing.selection import requires

if TYPE_CHECKING:
    from async_task.testing.rig import Rig

BACK = pytest.mark.parametrize("back", [Retry, Release])
YEAR_MS = 366 * 24 * FOREVER_MS


class Delays:
    """What `delay_ms` promises, of a new message and of one that is given back."""

    @requires("delay")
    async def test_a_delayed_message_is_not_early(self, rig: Rig) -> None:
        """Not handed out before its delay has passed on the store's clock; and then it is."""
        elapsed_ms = rig.stopwatch()
        message = await rig.put(delay_ms=3 * rig.tick_ms)
        lease = await rig.take_when_it_comes()
        assert lease.id == message.id
        assert elapsed_ms() >= 3 * rig.tick_ms

    @requires("delay")
    async def test_a_delayed_message_is_not_handed_out_meanwhile(self, rig: Rig) -> None:
        """What is due overtakes it."""
        await rig.put(delay_ms=FOREVER_MS)
        due = await rig.put()
        assert (await rig.take()).id == due.id
        await rig.assert_nothing()

    @requires("delay")
    async def test_a_waiting_lease_sees_a_message_become_due(self, rig: Rig) -> None:
        """Time alone ends the wait: nobody needs to store anything."""
        message = await rig.put(delay_ms=rig.tick_ms)
        async with rig.waiting() as leases:
            await rig.advance(2)
        assert [lease.id for lease in leases] == [message.id]

    @BACK
    @requires("delay")
    async def test_what_is_given_back_for_later_is_not_early(
        self, rig: Rig, back: type[Retry | Release]
    ) -> None:
        """The delay of a settlement counts from that settlement."""
        await rig.put()
        lease = await rig.take()
        elapsed_ms = rig.stopwatch()
        await rig.settle(back(lease, 3 * rig.tick_ms, b"later"))
        again = await rig.take_when_it_comes()
        assert elapsed_ms() >= 3 * rig.tick_ms
        assert (again.id, again.state) == (lease.id, b"later")
        assert (again.deliveries, again.crashes) == (2, 0)

    @BACK
    @requires("delay")
    async def test_what_is_given_back_for_later_is_not_handed_out_meanwhile(
        self, rig: Rig, back: type[Retry | Release]
    ) -> None:
        """The end of the lease it had does not matter any more."""
        await rig.put()
        lease = await rig.take(visibility_ms=10 * rig.tick_ms)
        await rig.settle(back(lease, FOREVER_MS, b""))
        await rig.advance(12)
        await rig.bounded(rig.driver.maintain())
        await rig.assert_nothing()

    @BACK
    @requires("delay")
    async def test_a_delay_of_its_own_is_not_repeated(
        self, rig: Rig, back: type[Retry | Release]
    ) -> None:
        """A message stored with a delay and given back without one is ready at once."""
        message = await rig.put(delay_ms=rig.tick_ms)
        await rig.lapse()
        await rig.settle(back(await rig.take(), 0, b""))
        assert (await rig.take()).id == message.id

    @requires("delay")
    async def test_any_length_of_delay_is_taken(self, rig: Rig) -> None:
        """Years are a delay too."""
        await rig.put(delay_ms=YEAR_MS)
        await rig.put(delay_ms=100 * YEAR_MS)
        await rig.assert_nothing()

    @requires("delay", "ordered")
    async def test_what_is_due_earlier_comes_first(self, rig: Rig) -> None:
        """Within a priority the order is that of becoming due, not that of arrival."""
        late = await rig.put(delay_ms=3 * rig.tick_ms)
        early = await rig.put(delay_ms=rig.tick_ms)
        await rig.advance(5)
        now = await rig.put()
        leases = await rig.take_many(3)
        assert [lease.id for lease in leases] == [early.id, late.id, now.id]
