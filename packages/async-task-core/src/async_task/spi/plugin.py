"""What a plug-in module declares: strings and small values, nothing that imports a client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from async_task.spi.capabilities import Capabilities

PROJECT = "async_task"
"""Name of the entry-point group and of the pluggy project."""

SPI_VERSION = 1
"""Version of the driver interface; raised when a driver must change to keep working."""

hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function of a plug-in module as the implementation of a hook."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverInfo:
    """One driver.

    Attributes:
        name: What users write as `driver=`, and the prefix of its settings.
        schemes: URL schemes it answers to.
        factory: `"package.module:name"` of a callable `(settings, DriverOptions) -> Driver`.
        settings: `"package.module:name"` of its `DriverSettings` subclass.
        capabilities: The guaranteed minimum.
        summary: One line for `async-task plugins`.
        spi_version: The `SPI_VERSION` it was written for, as a number, not the constant.
    """

    name: str
    schemes: tuple[str, ...]
    factory: str
    settings: str
    capabilities: Capabilities
    summary: str
    spi_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandInfo:
    """One command of the command line.

    Attributes:
        name: The word users type.
        summary: Its line in `async-task --help`.
        target: `"package.module:name"` of its click command.
    """

    name: str
    summary: str
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecInfo:
    """Values of a new kind in arguments and results.

    Attributes:
        name: Its tag on the wire; never to be changed.
        target: `"package.module:name"` of a `ValueCodec`.
        priority: Asked in descending order.
    """

    name: str
    target: str
    priority: int = 0
