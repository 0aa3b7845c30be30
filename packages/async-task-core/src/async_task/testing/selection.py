"""Which tests of the suite apply to a driver: read from what it declares, at collection."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import pytest

from async_task.spi.capabilities import Capabilities, Delay, Facet
from async_task.testing.plugin import PROPERTY

if TYPE_CHECKING:
    from async_task.testing.conformance import DriverConformance

_FIELDS = {field.name for field in fields(Capabilities)}


def requires(*needs: Facet | str, **at_least: int) -> pytest.MarkDecorator:
    """Apply a test only to drivers that declare something.

    Args:
        *needs: A facet, or a field of `Capabilities` that must be true (a limit: set).
        **at_least: A number that a field must reach.
    """
    _check_names(*(need for need in needs if isinstance(need, str)), *at_least)
    return pytest.mark.async_task_requires(*needs, **at_least)


def lacks(field: str) -> pytest.MarkDecorator:
    """Apply a test only to drivers that do not declare `field`."""
    _check_names(field)
    return pytest.mark.async_task_lacks(field)


def select(item: pytest.Function, suite: type[DriverConformance]) -> None:
    """Mark one collected test: skipped, expected to fail, or neither; and note whose it is."""
    reason = unmet(item, suite.capabilities)
    if reason is not None:
        item.add_marker(pytest.mark.skip(reason=f"{suite.__name__} declares {reason}"))
    else:
        for name in {item.name, item.originalname} & suite.deviations.keys():
            item.add_marker(pytest.mark.xfail(reason=suite.deviations[name], strict=True))
    item.user_properties.append((PROPERTY, f"{suite.__name__}: {describe(suite.capabilities)}"))


def unmet(item: pytest.Item, capabilities: Capabilities) -> str | None:
    """Say which requirement of a test is not declared, or `None` if it applies."""
    for mark in item.iter_markers("async_task_requires"):
        for need in mark.args:
            declared = (
                need in capabilities.facets
                if isinstance(need, Facet)
                else getattr(capabilities, need)
            )
            if not declared:
                return f"no {need.value if isinstance(need, Facet) else need}"
        for field, least in mark.kwargs.items():
            if getattr(capabilities, field) < least:
                return f"no {field} of {least}"
    for mark in item.iter_markers("async_task_lacks"):
        if getattr(capabilities, mark.args[0]):
            return str(mark.args[0])
    return None


def describe(capabilities: Capabilities) -> str:
    """Write capabilities on one line, without what is not there."""
    words = sorted(facet.value for facet in capabilities.facets)
    for field in fields(capabilities):
        value = getattr(capabilities, field.name)
        if value is True:
            words.append(field.name)
        elif isinstance(value, Delay) and value is not Delay.NONE:
            words.append(f"delay={value.name.lower()}")
        elif isinstance(value, int) and value != field.default:
            words.append(f"{field.name}={value}")
    return " ".join(words)


def _check_names(*names: str) -> None:
    unknown = set(names) - _FIELDS
    if unknown:
        raise ValueError(f"Capabilities has no field {', '.join(sorted(unknown))}.")
