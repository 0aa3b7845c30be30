"""Doing many things at once, and being cancelled at any of them."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from async_task.core.ids import new_id
from async_task.spi.capabilities import Facet
from async_task.spi.messages import Ack, Message, Reject, Release, Retry, StoredResult
from async_task.testing.cancellation import cancelled_at
from async_task.testing.rig import FOREVER_MS, HIGH, LOW
from async_task.testing.selection import requires

if TYPE_CHECKING:
    from async_task.spi.messages import Lease
    from async_task.testing.rig import Rig

SUSPENSIONS = 24
"""At how many awaits of one call a cancellation is tried; a call that has fewer runs through."""


class Concurrency:
    """What the rules for every method promise."""

    async def test_no_message_is_handed_out_twice(self, rig: Rig) -> None:
        """Many consumers of several processes share the messages, each its own."""
        other = await rig.other()
        consumers = [rig.consumer, other.consumer, await rig.another_consumer()]
        messages = await rig.put_many(60)
        taken: list[Lease] = []

        async def work(number: int) -> None:
            consumer = consumers[number % 3]
            while len(taken) <= 60 and (leases := await rig.look(3, consumer=consumer)):
                taken.extend(leases)
                await rig.turns(1)  # also a driver that never suspends lets the others look
                await rig.bounded(consumer.settle([*map(Ack, leases)]))

        await asyncio.gather(*(work(number) for number in range(9)))
        if len(taken) < 60:
            taken += await rig.take_many(60 - len(taken))
        assert sorted(lease.id for lease in taken) == sorted(each.id for each in messages)

    async def test_one_consumer_may_lease_and_settle_at_once(self, rig: Rig) -> None:
        """While a lease waits, everything else goes on."""
        await rig.put(queue=HIGH)
        async with rig.waiting(queues=(LOW,)) as leases:
            await rig.settle(Release(await rig.take(queue=HIGH), 0, b""))
            await rig.settle(Ack(await rig.take(queue=HIGH)))
            await rig.bounded(rig.driver.ping())
            message = await rig.put(queue=LOW)
        assert [lease.id for lease in leases] == [message.id]

    async def test_all_methods_may_run_at_once(self, rig: Rig) -> None:
        """Calls that overlap do not disturb each other."""
        await rig.put_many(20)
        leases = await rig.take_many(10)
        driver = rig.driver
        await asyncio.gather(
            *(rig.settle(Ack(lease)) for lease in leases[:5]),
            *(rig.settle(Retry(lease, 0, b"state")) for lease in leases[5:]),
            *(rig.put() for _ in range(5)),
            *(driver.maintain() for _ in range(3)),
            *(driver.stats([HIGH, LOW]) for _ in range(3)),
            *(driver.ping() for _ in range(3)),
            driver.provision([HIGH]),
        )
        assert len({lease.id for lease in await rig.take_many(20)}) == 20
        await rig.assert_nothing()

    async def test_cancelling_a_waiting_lease_loses_nothing(self, rig: Rig) -> None:
        """A message that comes in the moment of cancelling is handed out to somebody."""
        ids: set[bytes] = set()
        taken: set[bytes] = set()
        for turns in range(SUSPENSIONS):
            waiting = asyncio.create_task(
                rig.look(wait_ms=FOREVER_MS, visibility_ms=10 * rig.tick_ms)
            )
            await rig.turns()
            ids.add((await rig.put()).id)
            await rig.turns(turns)
            waiting.cancel()
            [answer] = await asyncio.gather(waiting, return_exceptions=True)
            leases = answer if isinstance(answer, list) else await rig.drain()
            taken.update(lease.id for lease in leases)
            await rig.settle(*map(Ack, leases))
        await self._all_come(rig, ids - taken)

    async def test_cancelling_a_lease_at_any_await_loses_nothing(self, rig: Rig) -> None:
        """What had been handed over already returns after its visibility at the latest."""
        messages = await rig.put_many(SUSPENSIONS)
        taken: set[bytes] = set()
        for suspension in range(SUSPENSIONS):
            call = rig.consumer.lease(
                (HIGH,),
                1,
                wait_ms=rig.harness.glance_ms,
                lease_id=os.urandom(16),
                visibility_ms=10 * rig.tick_ms,
            )
            leases = await cancelled_at(suspension, call)
            if leases is not None:
                taken.update(lease.id for lease in leases)
                await rig.settle(*map(Ack, leases))
        await self._all_come(rig, {message.id for message in messages} - taken)

    @pytest.mark.parametrize("kind", [Retry, Release])
    async def test_cancelling_a_settlement_at_any_await_loses_nothing(
        self, rig: Rig, kind: type[Retry | Release]
    ) -> None:
        """The message is still held or already given back, never neither."""
        messages = await rig.put_many(SUSPENSIONS)
        leases = await rig.take_many(SUSPENSIONS, visibility_ms=10 * rig.tick_ms)
        for suspension, lease in enumerate(leases):
            await cancelled_at(suspension, rig.consumer.settle([kind(lease, 0, b"state")]))
        await self._all_come(rig, {message.id for message in messages})

    @requires(Facet.DEAD_LETTERS)
    async def test_cancelling_a_rejection_at_any_await_loses_nothing(self, rig: Rig) -> None:
        """The message is still held or already dead, never neither."""
        messages = await rig.put_many(SUSPENSIONS)
        leases = await rig.take_many(SUSPENSIONS, visibility_ms=10 * rig.tick_ms)
        for suspension, lease in enumerate(leases):
            await cancelled_at(suspension, rig.consumer.settle([Reject(lease, "failed", b"")]))
        letters = await rig.dead_letters.browse(HIGH, limit=SUSPENSIONS)
        dead = {letter.id for letter in letters}
        await self._all_come(rig, {message.id for message in messages} - dead)

    @requires(Facet.RESULTS, "atomic_settle")
    async def test_cancelling_an_acknowledgement_keeps_message_and_result_together(
        self, rig: Rig
    ) -> None:
        """Whoever finds no result finds the message again."""
        messages = await rig.put_many(SUSPENSIONS)
        leases = await rig.take_many(SUSPENSIONS, visibility_ms=10 * rig.tick_ms)
        for suspension, lease in enumerate(leases):
            result = StoredResult(b"done", FOREVER_MS)
            await cancelled_at(suspension, rig.consumer.settle([Ack(lease, result)]))
        ids = [message.id for message in messages]
        done = dict(zip(ids, await rig.results.get(ids), strict=True))
        await self._all_come(rig, {each for each in ids if done[each] is None})

    @requires("idempotent_enqueue")
    async def test_cancelling_an_enqueue_at_any_await_can_be_repeated(self, rig: Rig) -> None:
        """Its outcome is unknown at worst: the message is stored once after a second call."""
        messages = [Message(new_id(), HIGH, b"body") for _ in range(SUSPENSIONS)]
        for suspension, message in enumerate(messages):
            await cancelled_at(suspension, rig.driver.enqueue([message]))
            await rig.bounded(rig.driver.enqueue([message]))
        taken = [lease.id for lease in await rig.take_many(SUSPENSIONS)]
        assert sorted(taken) == sorted(message.id for message in messages)
        await rig.assert_nothing()

    async def test_a_cancelled_call_leaves_the_driver_usable(self, rig: Rig) -> None:
        """Whatever was cancelled, the next call of every kind works."""
        calls = (
            rig.driver.ping,
            rig.driver.maintain,
            lambda: rig.driver.stats([HIGH]),
            lambda: rig.driver.provision([HIGH]),
            lambda: rig.driver.purge(LOW),
        )
        for call in calls:
            for suspension in range(SUSPENSIONS):
                await cancelled_at(suspension, call())
        await rig.put()
        await rig.settle(Ack(await rig.take()))
        assert (await rig.stats()).queue == HIGH

    async def _all_come(self, rig: Rig, ids: set[bytes]) -> None:
        """Let leases lapse and check that exactly these messages are handed out."""
        await rig.lapse_after(10)
        taken = [lease.id for lease in await rig.drain()]
        if set(taken) < ids:  # on a slow machine one may have lapsed twice, and have to wait
            taken += [lease.id for lease in await rig.take_many(len(ids) - len(set(taken)))]
        assert set(taken) == ids
        if rig.driver.capabilities.atomic_settle:
            assert len(taken) == len(ids), "a message is there twice"
