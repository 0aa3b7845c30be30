"""The hooks a plug-in module may implement. None of them may import anything heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

from async_task.spi.plugin import PROJECT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_task.spi.plugin import CodecInfo, CommandInfo, DriverInfo

hookspec = pluggy.HookspecMarker(PROJECT)


@hookspec
def async_task_drivers() -> Sequence[DriverInfo]:  # type: ignore[empty-body]  # a specification
    """Declare drivers."""


@hookspec
def async_task_commands() -> Sequence[CommandInfo]:  # type: ignore[empty-body]  # a specification
    """Declare commands of the command line."""


@hookspec
def async_task_codecs() -> Sequence[CodecInfo]:  # type: ignore[empty-body]  # a specification
    """Declare codecs for values of new kinds in arguments and results."""
