"""Telling what comes too late."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_task.spi.messages import Retry
from async_task.testing.rig import FOREVER_MS
from async_task.testing.selection import requires

if TYPE_CHECKING:
    from async_task.testing.rig import Rig


class Expiry:
    """What `expires_in_ms` promises: a flag, and nothing else."""

    async def test_what_comes_too_late_is_handed_out_and_says_so(self, rig: Rig) -> None:
        """An expired message is not dropped: core decides what becomes of it."""
        message = await rig.put(expires_in_ms=rig.tick_ms)
        await rig.advance(2)
        await rig.bounded(rig.driver.maintain())
        lease = await rig.take()
        assert (lease.id, lease.expired) == (message.id, True)

    async def test_what_comes_in_time_is_not_expired(self, rig: Rig) -> None:
        """Nor is a message without an expiry, however late it comes."""
        await rig.put(expires_in_ms=FOREVER_MS)
        assert not (await rig.take()).expired
        await rig.put()
        await rig.advance(2)
        assert not (await rig.take()).expired

    async def test_the_flag_tells_of_the_time_of_handing_out(self, rig: Rig) -> None:
        """A message given back in time and handed out again too late is expired then."""
        await rig.put(expires_in_ms=10 * rig.tick_ms)
        lease = await rig.take()
        assert not lease.expired
        await rig.settle(Retry(lease, 0, b""))
        await rig.advance(12)
        assert (await rig.take()).expired

    @requires("delay")
    async def test_expiry_counts_from_storing(self, rig: Rig) -> None:
        """A delay longer than the expiry makes a message late before it is due."""
        await rig.put(delay_ms=3 * rig.tick_ms, expires_in_ms=rig.tick_ms)
        await rig.advance(4)
        assert (await rig.take()).expired
