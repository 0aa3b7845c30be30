"""Making the schema."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from async_task.spi.capabilities import Facet
from async_task.testing.rig import Rig
from async_task.testing.selection import requires

if TYPE_CHECKING:
    from async_task.spi.driver import Driver
    from async_task.spi.facets import Migrations
    from async_task.testing.harness import DriverHarness


def migrations_of(driver: Driver) -> Migrations:
    """Return the facet of a driver that declares it."""
    assert driver.migrations is not None, "declared, but driver.migrations is None"
    return driver.migrations


async def bare(harness: DriverHarness) -> Driver:
    """Make a driver without its schema, or skip the test."""
    if harness.bare is None:
        pytest.skip("the harness cannot make a driver without its schema")
    return await harness.bare()


class Migrating:
    """What the facet `Migrations` promises; it works without a schema and without `open`."""

    @requires(Facet.MIGRATIONS)
    async def test_a_schema_in_place_has_nothing_pending(self, rig: Rig) -> None:
        """And applying it again does nothing."""
        migrations = migrations_of(rig.driver)
        assert list(await rig.bounded(migrations.pending())) == []
        await rig.put()
        assert list(await rig.bounded(migrations.apply())) == []
        await rig.take()

    @requires(Facet.MIGRATIONS)
    async def test_the_schema_can_be_read(self, rig: Rig) -> None:
        """As a script, for who is not let near the server."""
        assert "create" in migrations_of(rig.driver).sql().lower()

    @requires(Facet.MIGRATIONS)
    async def test_applying_does_what_is_pending(self, harness: DriverHarness) -> None:
        """All of it, by name and in order; then the driver can be opened and used."""
        driver = await bare(harness)
        migrations = migrations_of(driver)
        pending = list(await migrations.pending())
        assert pending
        assert list(await migrations.apply()) == pending
        assert list(await migrations.pending()) == []
        async with Rig.of(harness, driver) as rig:
            await rig.put()
            await rig.take()

    @requires(Facet.MIGRATIONS)
    async def test_several_may_apply_at_once(self, harness: DriverHarness) -> None:
        """A deployment starts many processes: each migration is applied by one of them."""
        driver = await bare(harness)
        drivers = [driver, *[await harness.again(driver) for _ in range(3)]]
        pending = list(await migrations_of(driver).pending())
        applied = await asyncio.gather(*(migrations_of(each).apply() for each in drivers))
        assert [name for names in applied for name in names] == pending
        async with Rig.of(harness, driver) as rig:
            await rig.put()
            await rig.take()
