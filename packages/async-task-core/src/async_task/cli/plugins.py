"""`async-task plugins`."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

import click

from async_task.__about__ import __version__
from async_task.cli.options import json_option
from async_task.cli.output import print_json, print_table
from async_task.drivers import plugin as built_in
from async_task.plugins.manager import plugins
from async_task.spi.plugin import PROJECT, DriverInfo


@click.command()
@json_option
def command(as_json: bool) -> None:
    """List the installed plug-ins and drivers, and what cannot be imported."""
    found = [
        _row("core", "async-task-core", __version__, built_in.async_task_drivers(), None),
        *(
            _row(p.name, p.distribution, p.version, _drivers(p.name, p.error), p.error)
            for p in plugins().plugins
        ),
    ]
    drivers = [
        {"name": d.name, "schemes": list(d.schemes), "summary": d.summary}
        for d in plugins().drivers.values()
    ]
    if as_json:
        print_json({"plugins": found, "drivers": drivers})
        return
    print_table(
        ["plug-in", "distribution", "version", "drivers"],
        [
            (p["name"], p["distribution"], p["version"], ", ".join(p["drivers"]) or "-")
            for p in found
        ],
    )
    click.echo()
    print_table(
        ["driver", "url schemes", "summary"],
        [(d["name"], ", ".join(d["schemes"]), d["summary"]) for d in drivers],
    )
    for plugin in found:
        if plugin["error"] is not None:
            click.echo(f"\n{plugin['name']} cannot be imported: {plugin['error']}")


def _drivers(plugin: str, error: str | None) -> list[DriverInfo]:
    """Return what a plug-in declares; the manager knows what there is, not from whom."""
    if error is not None:
        return []
    (entry,) = entry_points(group=PROJECT, name=plugin)
    return getattr(entry.load(), "async_task_drivers", list[DriverInfo])()


def _row(
    name: str, distribution: str, version: str, drivers: list[DriverInfo], error: str | None
) -> dict[str, Any]:
    return {
        "name": name,
        "distribution": distribution,
        "version": version,
        "drivers": [driver.name for driver in drivers],
        "error": error,
    }
