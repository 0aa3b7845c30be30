"""`async-task resume`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from async_task.cli.options import BackendCommand, check_queues, json_option
from async_task.cli.output import print_json

if TYPE_CHECKING:
    from async_task.cli.backend import Backend
    from async_task.core.queue_driver import QueueDriver


@click.command(cls=BackendCommand)
@click.argument("names", nargs=-1, required=True, callback=check_queues, metavar="NAME...")
@json_option
def command(backend: Backend, names: tuple[str, ...], as_json: bool) -> None:
    """Let workers take tasks of the queues named again."""
    asyncio.run(_resume(backend.driver(), names))
    if as_json:
        print_json({"resumed": list(names)})
    else:
        click.echo(f"resumed: {', '.join(names)}")


async def _resume(driver: QueueDriver, names: tuple[str, ...]) -> None:
    async with driver:
        for name in names:
            await driver.resume(name)
