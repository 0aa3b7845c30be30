"""`async-task bench`."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING

import click

from async_task.cli.bench_steps import BENCH_QUEUE, Step, measured
from async_task.cli.event_loop import loop_factory
from async_task.cli.options import BackendCommand, json_option
from async_task.cli.output import print_json, print_table

if TYPE_CHECKING:
    from async_task.cli.backend import Backend


@click.command(cls=BackendCommand)
@click.argument("url", required=False)
@click.option(
    "--tasks",
    type=click.IntRange(min=100),
    default=10_000,
    show_default=True,
    help="How many tasks each step is about.",
)
@json_option
def command(backend: Backend, url: str | None, tasks: int, as_json: bool) -> int:
    """Measure what a backend costs here; exit 1 if tasks were lost or ran twice.

    URL is where, for example redis://localhost; else the configuration says. Each step stores or
    takes tasks in the queue `async-task-bench`, which is emptied before and after: first through
    the driver alone, then as an application and a worker do. CPU is that of this process, none of
    the server's. Two at a time on one backend take each other's tasks.
    """
    if url is not None:
        backend.flags = {**backend.flags, "url": url}
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        steps = runner.run(measured(backend.driver(), tasks))
    if as_json:
        print_json({"queue": BENCH_QUEUE, "steps": [_document(step) for step in steps]})
    else:
        print_table(
            ["step", "tasks", "tasks/s", "CPU us/task", "lost", "twice"],
            [
                (s.name, s.tasks, f"{s.rate:.0f}", f"{s.cpu_us:.1f}", s.lost, s.repeated)
                for s in steps
            ],
        )
    return 1 if any(step.lost or step.repeated for step in steps) else 0


def _document(step: Step) -> dict[str, object]:
    return dataclasses.asdict(step) | {"rate": step.rate, "cpu_us": step.cpu_us}
