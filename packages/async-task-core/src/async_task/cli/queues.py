"""`async-task queues`."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING

import click

from async_task.cli.options import BackendCommand, check_queues, json_option
from async_task.cli.output import print_json, print_table, span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_task.cli.backend import Backend
    from async_task.core.queue_driver import QueueDriver
    from async_task.spi.messages import QueueStats


@click.command(cls=BackendCommand)
@click.argument("names", nargs=-1, callback=check_queues, metavar="[NAME]...")
@json_option
def command(backend: Backend, names: tuple[str, ...], as_json: bool) -> None:
    """Count what is in the queues: in those named, or in all that exist.

    OLDEST is how long the longest-waiting ready task has been due; `-` is what a backend cannot
    know.
    """
    stats, paused = asyncio.run(_stats(backend.driver(), names))
    if as_json:
        print_json([dataclasses.asdict(row) | {"paused": row.queue in paused} for row in stats])
    elif stats:
        print_table(
            ["queue", "ready", "delayed", "leased", "dead", "oldest", ""],
            [
                (
                    s.queue,
                    s.ready,
                    s.delayed,
                    s.leased,
                    s.dead,
                    span(s.oldest_ready_ms),
                    "paused" if s.queue in paused else "",
                )
                for s in stats
            ],
        )
    else:
        click.echo("there are no queues yet")


async def _stats(
    driver: QueueDriver, names: Sequence[str]
) -> tuple[Sequence[QueueStats], Sequence[str]]:
    async with driver:
        stats = await driver.stats(list(names or await driver.queues()))
        return stats, () if driver.control is None else await driver.paused()
