"""Opening, closing and losing connections."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

import pytest

from async_task.spi.errors import DriverError
from async_task.spi.messages import Ack
from async_task.testing.rig import FOREVER_MS, HIGH, QUEUES, Rig

if TYPE_CHECKING:
    from async_task.testing.harness import DriverHarness


def _connections() -> set[asyncio.BaseTransport]:
    """Return what is connected in this process, whoever holds it."""
    transports: list[asyncio.BaseTransport] = [
        each for each in gc.get_objects() if issubclass(type(each), asyncio.BaseTransport)
    ]
    return {each for each in transports if not each.is_closing()}


class Resilience:
    """What the life of a driver promises."""

    async def test_opening_and_closing_may_be_repeated(self, harness: DriverHarness) -> None:
        """A driver is usable after every `open`; a second `close` is none."""
        driver = await harness.make()
        for number in range(3):
            async with Rig.of(harness, driver) as rig:
                await rig.put(body=bytes([number]))
            await driver.close()
        async with Rig.of(harness, driver) as rig:
            assert [lease.body for lease in await rig.take_many(3)] == [b"\0", b"\1", b"\2"]

    async def test_closing_what_was_never_opened_is_harmless(self, harness: DriverHarness) -> None:
        """Whoever gives up half-way may close what he has."""
        await (await harness.make()).close()

    async def test_an_opening_may_be_given_up_at_any_moment(self, harness: DriverHarness) -> None:
        """What had been connected by then is closed again, by `open` itself or by `close`."""
        first = await harness.make()
        before = _connections()
        turns, opened = 0, False
        while not opened:
            driver = await harness.again(first)
            opening = asyncio.create_task(driver.open())
            for _ in range(turns):
                await asyncio.sleep(0)
            opened = opening.done()
            opening.cancel()
            await asyncio.wait([opening])
            await driver.close()
            turns += 1 + turns // 10
        assert _connections() <= before, "connections are left open"

    async def test_a_closing_may_be_given_up_and_repeated(self, harness: DriverHarness) -> None:
        """What was still connected is closed then, also what a waiting lease used."""
        first = await harness.make()
        before = _connections()
        for turns in range(12):
            async with Rig.of(harness, await harness.again(first)) as rig:
                waiting = asyncio.create_task(rig.look(wait_ms=FOREVER_MS, queues=QUEUES))
                await rig.turns()
                closing = asyncio.create_task(rig.driver.close())
                await rig.turns(turns)
                closing.cancel()
                await asyncio.wait([closing])
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
        assert _connections() <= before, "connections are left open"

    async def test_a_ping_succeeds(self, rig: Rig) -> None:
        """One cheap round trip tells that the backend is there."""
        await rig.bounded(rig.driver.ping())

    async def test_closing_does_not_wait_for_who_waits(self, rig: Rig) -> None:
        """`close` is bounded in time although a lease would wait for an hour."""
        other = await rig.other()
        waiting = asyncio.create_task(other.look(wait_ms=FOREVER_MS))
        await rig.turns()
        await rig.bounded(other.driver.close())
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    async def test_one_driver_s_end_is_not_another_s(self, rig: Rig) -> None:
        """Closing lets go of what is its own."""
        other = await rig.other()
        async with rig.waiting() as leases:
            await other.driver.close()
            message = await rig.put()
        assert [lease.id for lease in leases] == [message.id]

    async def test_queues_may_be_provisioned_again(self, rig: Rig) -> None:
        """By several at once, with what is in them untouched."""
        other = await rig.other()
        message = await rig.put()
        drivers = [rig.driver, other.driver] * 3
        await asyncio.gather(*(driver.provision([*QUEUES, "another"]) for driver in drivers))
        assert (await rig.take()).id == message.id

    async def test_a_dropped_connection_loses_nothing(self, rig: Rig) -> None:
        """What a consumer held when it vanished comes back, to another."""
        if rig.harness.kill is None:
            pytest.skip("the harness cannot kill a connection")
        messages = await rig.put_many(2)
        await rig.take(visibility_ms=rig.tick_ms)
        await rig.crash_connection()
        await rig.advance(2)
        assert {lease.id for lease in await rig.take_many(2)} == {each.id for each in messages}

    async def test_a_restarted_server_is_found_again(self, rig: Rig) -> None:
        """Failures meanwhile are retryable errors; what was stored and held is still so."""
        if rig.harness.restart is None:
            pytest.skip("the harness cannot restart the server")
        await rig.put_many(2)
        held = await rig.take()
        await rig.harness.restart()
        for _ in range(100):
            try:
                await rig.bounded(rig.driver.ping())
                leases = await rig.look(10, queues=(HIGH,))
            except DriverError as error:
                assert error.retryable, f"not retryable: {error!r}"
                await rig.advance()
            else:
                break
        else:
            pytest.fail("the driver did not find the server again")
        assert held.id not in {lease.id for lease in leases}
        await rig.settle(Ack(held), *map(Ack, leases or await rig.take_many(1)))
