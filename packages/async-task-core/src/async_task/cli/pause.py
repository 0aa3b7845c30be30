"""`async-task pause`."""

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
    """Have no worker take tasks of the queues named, until they are resumed.

    What runs goes on. It holds for all workers, and over restarts.
    """
    asyncio.run(_pause(backend.driver(), names))
    if as_json:
        print_json({"paused": list(names)})
    else:
        click.echo(f"paused: {', '.join(names)}")


async def _pause(driver: QueueDriver, names: tuple[str, ...]) -> None:
    async with driver:
        for name in names:
            await driver.pause(name)
