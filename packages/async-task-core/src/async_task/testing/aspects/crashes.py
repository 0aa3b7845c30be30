"""Getting back what a dead worker held."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from async_task.spi.messages import Ack, Release, Retry
from async_task.spi.reclaim import CAP_MS
from async_task.testing.rig import FOREVER_MS

if TYPE_CHECKING:
    from async_task.testing.rig import Rig


class Crashes:
    """What happens to a lease nobody ends."""

    async def test_an_expired_lease_is_handed_out_again(self, rig: Rig) -> None:
        """With one crash and one more delivery counted, and everything else unchanged."""
        message = await rig.put(body=b"unchanged")
        await rig.settle(Retry(await rig.take(), 0, b"state"))
        await rig.take_and_crash()
        lease = await rig.take()
        assert (lease.id, lease.body, lease.state) == (message.id, b"unchanged", b"state")
        assert (lease.deliveries, lease.crashes) == (3, 1)

    async def test_a_lease_holds_for_all_of_its_time(self, rig: Rig) -> None:
        """It does not end early, on the store's clock."""
        rig.skip_unless_leases_end_by_time()
        await rig.put()
        elapsed_ms = rig.stopwatch()
        await rig.take(visibility_ms=3 * rig.tick_ms)
        assert (await rig.take_when_it_comes()).crashes == 1
        assert elapsed_ms() >= 3 * rig.tick_ms

    async def test_a_waiting_lease_sees_a_lease_expire(self, rig: Rig) -> None:
        """Whoever waits takes over, without anybody calling `maintain`."""
        rig.skip_unless_leases_end_by_time()
        message = await rig.put()
        other = await rig.other()
        await other.take(visibility_ms=rig.tick_ms)
        async with rig.waiting() as leases:
            await rig.advance(2)
        assert [(lease.id, lease.crashes) for lease in leases] == [(message.id, 1)]

    async def test_another_process_takes_over(self, rig: Rig) -> None:
        """It needs nothing that the dead worker knew."""
        message = await rig.put()
        other = await rig.other()
        await rig.take_and_crash()
        assert (await other.take()).id == message.id

    async def test_maintain_reclaims(self, rig: Rig) -> None:
        """A worker that leases from other queues only still brings the message back."""
        await rig.put()
        await rig.take_and_crash()
        await rig.bounded(rig.driver.maintain())
        stats = await rig.stats()
        assert stats.leased in (0, None)
        assert stats.ready in (1, None)

    async def test_a_crash_is_counted_once(self, rig: Rig) -> None:
        """However many workers reclaim at once."""
        other = await rig.other()
        await rig.put_many(5)
        await rig.take_many(5, visibility_ms=rig.tick_ms)
        await rig.lapse()
        drivers = [rig.driver, other.driver] * 3
        await asyncio.gather(*(driver.maintain() for driver in drivers))
        leases = await rig.take_many(5)
        assert {(lease.deliveries, lease.crashes) for lease in leases} == {(2, 1)}
        await rig.assert_nothing()

    async def test_maintaining_does_not_touch_what_is_held(self, rig: Rig) -> None:
        """Nor anything else that is as it should be."""
        await rig.put_many(2)
        held = await rig.take()
        for _ in range(3):
            await rig.bounded(rig.driver.maintain())
        assert (await rig.take()).deliveries == 1
        await rig.assert_nothing()
        await rig.settle(Ack(held))

    async def test_giving_back_is_no_crash(self, rig: Rig) -> None:
        """Only an expired lease counts, and the count stays."""
        await rig.put()
        await rig.take_and_crash()
        for _ in range(2):
            await rig.settle(Release(await rig.take(), 0, b""))
        lease = await rig.take()
        assert (lease.deliveries, lease.crashes) == (4, 1)

    async def test_what_crashed_together_comes_back_apart(self, rig: Rig) -> None:
        """From the second crash on each message waits a random time, up to 2 ** crashes seconds.

        Twelve messages are all back within a quarter of that once in 10 ** 7 runs.
        """
        rig.skip_unless_leases_end_by_time()
        await rig.put_many(12)
        for _ in range(2):
            await rig.take_many(12, visibility_ms=10 * rig.tick_ms)
            await rig.advance(12)
        together = await rig.look(12)
        assert len(together) < 12, "all were ready at once after their second crash"
        await rig.advance_ms(4000)
        late = await rig.take_many(12 - len(together))
        assert {lease.crashes for lease in together + late} == {2}

    async def test_the_wait_after_a_crash_is_bounded(self, rig: Rig) -> None:
        """No number of crashes delays a message by more than a minute."""
        rig.skip_unless_hours_are_free()
        await rig.put()
        for crashes in range(1, 12):
            await rig.take(visibility_ms=rig.tick_ms)
            await rig.advance(2)
            await rig.bounded(rig.driver.maintain())
            await rig.advance_ms(CAP_MS if crashes > 1 else 0)
        assert (await rig.take(visibility_ms=FOREVER_MS)).crashes == 11
