"""Declares the built-in commands, through the same hook as everybody else's."""

from __future__ import annotations

from async_task.spi.plugin import CommandInfo, hookimpl


@hookimpl
def async_task_commands() -> list[CommandInfo]:
    """Return the commands of core, each in a module of its own that is loaded when used."""
    return [
        CommandInfo(name=name, summary=summary, target=f"async_task.cli.{name}:command")
        for name, summary in (
            ("worker", "Run a worker in this process."),
            ("migrate", "Create or update the backend's schema."),
            ("queues", "Count what is in the queues."),
            ("pause", "Have no worker take tasks of queues."),
            ("resume", "Undo pause."),
            ("dead", "List, show, requeue or purge dead letters."),
            ("doctor", "Check configuration, backend and what it can do."),
            ("bench", "Measure what a backend costs here."),
            ("plugins", "List the installed plug-ins and drivers."),
        )
    ]
