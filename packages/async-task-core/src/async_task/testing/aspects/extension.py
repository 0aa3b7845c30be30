"""Holding leases for longer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from async_task.spi.capabilities import Facet
from async_task.spi.messages import Ack, Extension, Release
from async_task.testing.rig import FOREVER_MS
from async_task.testing.selection import requires

if TYPE_CHECKING:
    from async_task.spi.messages import Lease
    from async_task.testing.rig import Rig


class Extending:
    """What `LeaseKeeper.extend` promises. Skipped where a connection is the lease."""

    async def test_an_extended_lease_holds(self, rig: Rig) -> None:
        """A lease that is extended in time does not end when it first would have."""
        await rig.put()
        lease = await rig.take(visibility_ms=10 * rig.tick_ms)
        assert await rig.extend(lease) == [Extension.HELD]
        await rig.advance(12)
        await rig.bounded(rig.driver.maintain())
        await rig.assert_nothing()
        await rig.settle(Ack(lease))

    async def test_an_extension_counts_from_now(self, rig: Rig) -> None:
        """The new end is `visibility_ms` from the call, also if the old one was later."""
        await rig.put()
        lease = await rig.take(visibility_ms=FOREVER_MS)
        assert await rig.extend(lease, visibility_ms=rig.tick_ms) == [Extension.HELD]
        await rig.lapse()
        again = await rig.take()
        assert (again.id, again.crashes) == (lease.id, 1)

    async def test_an_extended_lease_is_not_early_to_end(self, rig: Rig) -> None:
        """It holds for all of the time asked for, on the store's clock."""
        await rig.put()
        lease = await rig.take()
        elapsed_ms = rig.stopwatch()
        await rig.extend(lease, visibility_ms=3 * rig.tick_ms)
        await rig.take_when_it_comes()
        assert elapsed_ms() >= 3 * rig.tick_ms

    async def test_extending_is_no_delivery(self, rig: Rig) -> None:
        """Renewals leave the counters as they are."""
        await rig.put()
        lease = await rig.take()
        for _ in range(3):
            await rig.extend(lease)
        await rig.settle(Release(lease, 0, b""))
        again = await rig.take()
        assert (again.deliveries, again.crashes) == (2, 0)

    @requires("fence")
    async def test_a_lost_lease_is_called_lost(self, rig: Rig) -> None:
        """A lease that somebody else's has replaced cannot be extended."""
        await rig.put()
        lost = await rig.take_and_crash()
        current = await rig.take()
        assert await rig.extend(lost) == [Extension.LOST]
        assert await rig.extend(current) == [Extension.HELD]

    @requires("fence")
    async def test_extending_a_lost_lease_changes_nothing(self, rig: Rig) -> None:
        """The lease that replaced it ends when it would have."""
        await rig.put()
        lost = await rig.take_and_crash()
        current = await rig.take(visibility_ms=rig.tick_ms)
        assert await rig.extend(lost, visibility_ms=FOREVER_MS) == [Extension.LOST]
        await rig.lapse()
        await rig.bounded(rig.driver.maintain())
        assert await rig.extend(current) == [Extension.LOST]

    @requires("fence")
    async def test_an_ended_lease_is_called_lost(self, rig: Rig) -> None:
        """After a settlement there is nothing to hold: neither done nor given back."""
        await rig.put_many(2)
        done, back = await rig.take_many(2)
        await rig.settle(Ack(done), Release(back, 0, b""))
        assert await rig.extend(done, back) == [Extension.LOST, Extension.LOST]
        assert (await rig.take()).id == back.id

    @requires("fence")
    async def test_answers_are_aligned(self, rig: Rig) -> None:
        """One call extends many leases and says of each what became of it."""
        await rig.put_many(4)
        leases = await rig.take_many(4, visibility_ms=10 * rig.tick_ms)
        await rig.settle(Ack(leases[0]), Ack(leases[2]))
        lost, held = Extension.LOST, Extension.HELD
        assert await rig.extend(*leases) == [lost, held, lost, held]
        await rig.advance(12)
        await rig.bounded(rig.driver.maintain())
        await rig.assert_nothing()

    async def test_a_keeper_works_in_a_thread_of_its_own(self, rig: Rig) -> None:
        """It is opened, used and closed in another thread's loop while this one works on."""
        await rig.put_many(20)
        leases = await rig.take_many(10)
        if rig.driver.keeper() is None:
            pytest.skip("this driver's leases are held by its connection")

        async def extend() -> list[list[Extension]]:
            keeper = rig.driver.keeper()
            assert keeper is not None
            async with keeper as opened:
                return [list(await opened.extend(leases, FOREVER_MS)) for _ in range(10)]

        async def work() -> list[Lease]:
            taken = [await rig.take() for _ in range(10)]
            await rig.settle(*map(Ack, taken))
            return taken

        answers, _ = await asyncio.gather(asyncio.to_thread(asyncio.run, extend()), work())
        assert answers == [[Extension.HELD] * 10] * 10
        await rig.settle(*map(Ack, leases))

    @requires(Facet.CONTROL)
    async def test_a_keeper_learns_of_a_cancellation(self, rig: Rig) -> None:
        """The answer is `CANCELLED`, every time, for the cancelled lease only; and it is held."""
        await rig.put_many(2)
        one, two = await rig.take_many(2, visibility_ms=10 * rig.tick_ms)
        await rig.control.cancel([two.id])
        for _ in range(2):
            assert await rig.extend(one, two) == [Extension.HELD, Extension.CANCELLED]
        await rig.advance(12)
        await rig.bounded(rig.driver.maintain())
        await rig.settle(Ack(one), Ack(two))
