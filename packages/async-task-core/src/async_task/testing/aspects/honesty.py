"""Declaring what is there, and nothing else."""

from __future__ import annotations

import os
from dataclasses import fields
from typing import TYPE_CHECKING

import pytest

from async_task.spi.capabilities import Capabilities, Delay, Facet
from async_task.spi.errors import UnsupportedError
from async_task.testing.selection import lacks

if TYPE_CHECKING:
    from async_task.testing.harness import DriverHarness
    from async_task.testing.rig import Rig


class Honesty:
    """What declaring `Capabilities` promises."""

    capabilities: Capabilities

    async def test_a_new_driver_offers_what_its_plugin_declares(
        self, harness: DriverHarness
    ) -> None:
        """Before `open` the capabilities are the guaranteed minimum, known without any I/O."""
        driver = await harness.make()
        assert driver.capabilities == self.capabilities

    async def test_an_open_driver_offers_no_less(self, rig: Rig) -> None:
        """Once it has seen its server it may say more, never less."""
        assert worse(rig.driver.capabilities, self.capabilities) == []

    async def test_facets_are_there_exactly_if_declared(self, rig: Rig) -> None:
        """A facet that is declared is not `None`, and one that is not declared is."""
        for facet in Facet:
            present = getattr(rig.driver, facet.value) is not None
            declared = facet in rig.driver.capabilities.facets
            assert present == declared, f"{facet.value}: declared {declared}, present {present}"

    @lacks("recoverable_lease")
    async def test_recovering_undeclared_is_refused(self, rig: Rig) -> None:
        """`recover` says by name that the driver cannot, instead of finding nothing."""
        with pytest.raises(UnsupportedError) as caught:
            await rig.consumer.recover(os.urandom(16))
        assert caught.value.capability == "recoverable_lease"


def worse(offered: Capabilities, declared: Capabilities) -> list[str]:
    """Name the fields in which `offered` is less than `declared`."""
    return [
        field.name
        for field in fields(Capabilities)
        if not _reaches(getattr(offered, field.name), getattr(declared, field.name), field.name)
    ]


def _reaches(offered: object, declared: object, name: str) -> bool:
    if name.startswith("max_"):
        return offered is None or (
            isinstance(offered, int) and isinstance(declared, int) and offered >= declared
        )
    if isinstance(offered, Delay) and isinstance(declared, Delay):
        return declared is Delay.NONE or Delay.NONE < offered <= declared
    if isinstance(offered, frozenset) and isinstance(declared, frozenset):
        return offered >= declared
    return isinstance(offered, int) and isinstance(declared, int) and offered >= declared
