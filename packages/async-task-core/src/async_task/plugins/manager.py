"""Loads plug-ins once and answers what they declare.

`import async_task` loads none; the first question does. Built-ins register through the same
hooks, first. A plug-in that cannot be imported is remembered by name, and is an error only for who
needs it.
"""

from __future__ import annotations

import functools
import importlib
import os
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import pluggy

from async_task.errors import (
    IncompatiblePluginError,
    PluginConflictError,
    PluginError,
    UnknownDriverError,
)
from async_task.plugins import hookspecs
from async_task.spi.plugin import PROJECT, SPI_VERSION, CodecInfo, CommandInfo, DriverInfo

if TYPE_CHECKING:
    from collections.abc import Iterable

BUILT_IN = ("async_task.drivers.plugin", "async_task.cli.plugin")

FIRST_PARTY = {
    "redis": ("redis", "rediss", "unix"),
    "postgres": ("postgresql", "postgres"),
    "mysql": ("mysql", "mariadb"),
    "rabbitmq": ("amqp", "amqps"),
    "sqs": ("sqs",),
    "sqlite": ("sqlite",),
}
"""Drivers of this project and their URL schemes, so that a missing one can say how to get it."""


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_Info = TypeVar("_Info", bound=_Named)


@dataclass(frozen=True, slots=True)
class Plugin:
    """One plug-in as found: where it came from, and why it cannot be used, if it cannot."""

    name: str
    distribution: str
    version: str
    error: str | None = None


class PluginManager:
    """What the installed plug-ins declare."""

    def __init__(self, allow: frozenset[str] | None = None) -> None:
        """Load the built-ins, then every entry point of the group that `allow` permits."""
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._sources: dict[str, Plugin] = {}
        self._left_out: set[str] = set()
        for module in BUILT_IN:
            self._manager.register(importlib.import_module(module), module)
            self._sources[module] = Plugin("core", "async-task-core", "")
        for entry in sorted(entry_points(group=PROJECT), key=lambda entry: entry.name):
            if allow is None or entry.name in allow:
                self._load(entry)
            else:
                self._left_out.add(entry.name)
        self.drivers: dict[str, DriverInfo] = self._collect("async_task_drivers")
        self.commands: dict[str, CommandInfo] = self._collect("async_task_commands")
        self.codecs: dict[str, CodecInfo] = self._collect("async_task_codecs")

    @property
    def plugins(self) -> list[Plugin]:
        """Every plug-in found through an entry point, failed ones included."""
        return [plugin for name, plugin in self._sources.items() if name not in BUILT_IN]

    def driver(self, name: str) -> DriverInfo:
        """Return the driver of that name.

        Raises:
            UnknownDriverError: It is not installed; the message says how to install it.
            IncompatiblePluginError: It was written for another version of the driver interface.
            PluginError: Its plug-in is installed and cannot be imported.
        """
        if name in self.drivers:
            return _compatible(self.drivers[name])
        self.raise_failure(name)
        raise UnknownDriverError(self._unknown(f"driver {name!r}", name))

    def driver_for_scheme(self, scheme: str) -> DriverInfo:
        """Return the driver that answers to a URL scheme; raises as `driver` does.

        Raises:
            PluginConflictError: Several do; a driver by name goes before a URL.
        """
        answering = [info for info in self.drivers.values() if scheme in info.schemes]
        if len(answering) > 1:
            names = ", ".join(repr(info.name) for info in answering)
            msg = f"several drivers answer to {scheme!r} URLs: {names}; say which by driver=NAME"
            raise PluginConflictError(msg)
        if answering:
            return _compatible(answering[0])
        name = next((name for name, schemes in FIRST_PARTY.items() if scheme in schemes), scheme)
        self.raise_failure(name)
        raise UnknownDriverError(self._unknown(f"driver for URL scheme {scheme!r}", name))

    def raise_failure(self, name: str) -> None:
        """Raise `PluginError` if the plug-in of that name is installed and cannot be used."""
        plugin = self._sources.get(name)
        if plugin is not None and plugin.error is not None:
            msg = f"plug-in {name!r} of {plugin.distribution} cannot be used: {plugin.error}"
            raise PluginError(msg)

    def _load(self, entry: EntryPoint) -> None:
        distribution = entry.dist.name if entry.dist else "an unknown distribution"
        version = entry.dist.version if entry.dist else ""
        error: str | None = None
        known = self._sources.get(entry.name)
        if known is not None:
            msg = (
                f"two plug-ins are called {entry.name!r}: one of {known.distribution}, one of"
                f" {distribution}; uninstall one of them"
            )
            raise PluginConflictError(msg)
        try:
            self._manager.register(entry.load(), entry.name)
        except Exception as exc:
            error = f"{type(exc).__name__}: {exc}"
        self._sources[entry.name] = Plugin(entry.name, distribution, version, error)

    def _collect(self, hook: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        origin: dict[str, str] = {}
        for implementation in getattr(self._manager.hook, hook).get_hookimpls():
            plugin = self._sources[implementation.plugin_name]
            source = plugin.distribution
            try:
                declared = list(cast("Iterable[_Named]", implementation.function()))
            except Exception as exc:  # written for another version of the hook, for example
                error = f"{type(exc).__name__}: {exc}"
                self._sources[implementation.plugin_name] = replace(plugin, error=error)
                continue
            for info in declared:
                if info.name in found:
                    msg = (
                        f"{source} and {origin[info.name]} both declare {info.name!r}"
                        f" ({hook}); uninstall one of them"
                    )
                    raise PluginConflictError(msg)
                found[info.name] = info
                origin[info.name] = source
        return found

    def _unknown(self, what: str, name: str) -> str:
        installed = ", ".join(sorted(self.drivers)) or "none"
        if name in self._left_out:
            return f"{what} is installed, but ASYNC_TASK_PLUGINS does not list it; add {name!r}"
        if name in FIRST_PARTY:
            remedy = f'pip install "async-task[{name}]"'
            return f"no {what} is installed; {remedy} (installed: {installed})"
        return f"there is no {what}; installed drivers: {installed}"


def _compatible(info: DriverInfo) -> DriverInfo:
    if info.spi_version != SPI_VERSION:
        msg = (
            f"driver {info.name!r} was written for version {info.spi_version} of the driver"
            f" interface, this async-task-core has version {SPI_VERSION}; install versions that fit"
        )
        raise IncompatiblePluginError(msg)
    return info


@functools.cache
def plugins() -> PluginManager:
    """Return this process's plug-ins, loading them on first use.

    `ASYNC_TASK_PLUGINS`, a comma-separated list of plug-in names, is an allow-list.
    """
    allow = os.environ.get("ASYNC_TASK_PLUGINS")
    if allow is None:
        return PluginManager()
    return PluginManager(frozenset(name.strip() for name in allow.split(",")))


def resolve(target: str) -> Any:
    """Import what a `"package.module:name"` string names.

    Raises:
        PluginError: There is no such thing.
    """
    module, _, name = target.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except Exception as exc:
        msg = f"{target!r}, declared by a plug-in, cannot be imported: {type(exc).__name__}: {exc}"
        raise PluginError(msg) from exc
