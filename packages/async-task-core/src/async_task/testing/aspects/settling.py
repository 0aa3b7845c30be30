"""Ending leases."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from async_task.spi.messages import Ack, Lease, Reject, Release, Retry
from async_task.testing.rig import HIGH
from async_task.testing.selection import requires

if TYPE_CHECKING:
    from async_task.spi.messages import Settlement
    from async_task.testing.rig import Rig

STATE = bytes(range(256)) * 16
"""The largest state there is: 4 KiB of every byte."""

BACK = pytest.mark.parametrize("back", [Retry, Release])
EVERY_KIND = pytest.mark.parametrize("kind", [Ack, Retry, Release, Reject])


def ending(kind: type[Settlement], lease: Lease) -> Settlement:
    """Make a settlement of any kind."""
    if kind is Ack:
        return Ack(lease)
    if kind is Reject:
        return Reject(lease, "failed", b"changed")
    return Retry(lease, 0, b"changed") if kind is Retry else Release(lease, 0, b"changed")


class Settling:
    """What `Consumer.settle` promises."""

    async def test_an_acknowledged_message_is_gone(self, rig: Rig) -> None:
        """`Ack`: done, and never handed out again."""
        await rig.put()
        await rig.settle(Ack(await rig.take()))
        await rig.assert_nothing()
        stats = await rig.stats()
        assert {stats.ready, stats.delayed, stats.leased, stats.dead} <= {0, None}

    @BACK
    async def test_what_is_given_back_comes_again(
        self, rig: Rig, back: type[Retry | Release]
    ) -> None:
        """`Retry` and `Release` return the message with its new state, one delivery later."""
        message = await rig.put(body=b"unchanged")
        first = await rig.take()
        await rig.settle(back(first, 0, STATE))
        second = await rig.take()
        assert (second.id, second.body, second.queue) == (message.id, b"unchanged", HIGH)
        assert (second.state, second.deliveries, second.crashes) == (STATE, 2, 0)
        assert second.lease_id != first.lease_id

    @BACK
    async def test_state_is_replaced_each_time(self, rig: Rig, back: type[Retry | Release]) -> None:
        """The state is the one last settled, also when that is empty."""
        await rig.put()
        for state in (b"one", b"two", b""):
            await rig.settle(back(await rig.take(), 0, state))
            lease = await rig.take()
            assert lease.state == state
            await rig.settle(back(lease, 0, state))
        assert (await rig.take()).deliveries == 7

    async def test_one_call_takes_every_kind(self, rig: Rig) -> None:
        """A batch mixes kinds, and each lease ends its own way."""
        await rig.put_many(4)
        one, two, three, four = await rig.take_many(4)
        await rig.settle(
            Ack(one),
            Retry(two, 0, b"two"),
            Release(three, 0, b"three"),
            Reject(four, "failed", b""),
        )
        leases = await rig.take_many(2)
        assert {lease.id: lease.state for lease in leases} == {two.id: b"two", three.id: b"three"}
        await rig.assert_nothing()

    @EVERY_KIND
    @requires("fence")
    async def test_a_repeated_call_is_stale(self, rig: Rig, kind: type[Settlement]) -> None:
        """A settlement that is sent twice works once and is reported the second time."""
        await rig.put_many(2)
        settlements = [ending(kind, lease) for lease in await rig.take_many(2)]
        await rig.settle(*settlements)
        assert await rig.stale(*settlements) == [0, 1]

    @EVERY_KIND
    @requires("fence")
    async def test_a_stale_lease_changes_nothing(self, rig: Rig, kind: type[Settlement]) -> None:
        """Who lost the message cannot end the lease of who has it now."""
        await rig.put()
        lost = await rig.take_and_crash()
        current = await rig.take()
        assert await rig.stale(ending(kind, lost)) == [0]
        await rig.assert_nothing()
        await rig.settle(Retry(current, 0, b"current"))
        again = await rig.take()
        assert (again.state, again.deliveries, again.crashes) == (b"current", 3, 1)

    @EVERY_KIND
    @requires("fence")
    async def test_a_lease_id_of_somebody_else_changes_nothing(
        self, rig: Rig, kind: type[Settlement]
    ) -> None:
        """The message's id alone ends no lease."""
        await rig.put()
        lease = await rig.take(visibility_ms=10 * rig.tick_ms)
        forged = Lease(lease.id, lease.queue, lease.body, os.urandom(16), 1, 0)
        assert await rig.stale(ending(kind, forged)) == [0]
        await rig.assert_nothing()
        await rig.lapse_after(10)
        again = await rig.take()
        assert (again.state, again.deliveries, again.crashes) == (b"", 2, 1)

    @EVERY_KIND
    @requires("fence")
    async def test_a_message_that_waits_cannot_be_settled(
        self, rig: Rig, kind: type[Settlement]
    ) -> None:
        """A lease that was given back is not current, although nobody holds the message."""
        await rig.put()
        lease = await rig.take()
        await rig.settle(Release(lease, 0, b"kept"))
        assert await rig.stale(ending(kind, lease)) == [0]
        assert (await rig.take()).state == b"kept"

    @requires("fence")
    async def test_stale_positions_are_reported_and_the_rest_is_done(self, rig: Rig) -> None:
        """One lost lease in a batch does not keep the others from ending."""
        await rig.put_many(4)
        leases = await rig.take_many(4)
        await rig.settle(Ack(leases[1]), Retry(leases[3], 0, b"before"))
        stale = await rig.stale(
            Ack(leases[0]), Ack(leases[1]), Retry(leases[2], 0, b"after"), Ack(leases[3])
        )
        assert sorted(stale) == [1, 3]
        states = {lease.id: lease.state for lease in await rig.take_many(2)}
        assert states == {leases[2].id: b"after", leases[3].id: b"before"}
        await rig.assert_nothing()

    @requires("fence")
    async def test_another_process_cannot_end_a_lease_it_does_not_have(self, rig: Rig) -> None:
        """The fence is the lease id, whoever asks."""
        await rig.put()
        other = await rig.other()
        lost = await rig.take_and_crash()
        current = await other.take()
        assert await rig.stale(Ack(lost)) == [0]
        await other.settle(Ack(current))
        await rig.assert_nothing()

    @requires(priorities=2)
    @BACK
    async def test_priority_survives_being_given_back(
        self, rig: Rig, back: type[Retry | Release]
    ) -> None:
        """A message keeps its priority through every return."""
        await rig.put(priority=0)
        await rig.put(priority=1)
        await rig.settle(back(await rig.take(), 0, b""))
        assert [lease.priority for lease in await rig.take_many(2)] == [1, 0]
