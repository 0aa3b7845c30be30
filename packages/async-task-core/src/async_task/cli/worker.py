"""`async-task worker`."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
from typing import TYPE_CHECKING, Final

import click

from async_task.cli.event_loop import loop_factory
from async_task.cli.options import BackendCommand, check_queues
from async_task.cli.supervise import (
    follow,
    is_called_for,
    supervise,
    supervision_options,
    supervisor_line,
)
from async_task.config import Config
from async_task.core.registry import registry
from async_task.core.worker import Worker
from async_task.runtime.logs import configure_logging
from async_task.runtime.supervisor import RECYCLE_EXIT

if TYPE_CHECKING:
    import socket

    from async_task.cli.backend import Backend

log = logging.getLogger("async_task.app")

YOUNG_OBJECTS: Final = 10_000
"""How many objects a worker makes, beyond those it drops, before the collector looks at them.

A hundred tasks make about two thousand that all go when the tasks end. At Python's 700 the
collector walks over most of them in vain, which takes 1.2 us of CPU time a task, of 14.
"""

_LEVELS = ("debug", "info", "warning", "error")


def _queues(
    ctx: click.Context, param: click.Parameter, text: str | None
) -> list[str] | dict[str, int]:
    """Read `high,low`, in strict order, or `high:6,low:1`, by weight."""
    parts = [] if text is None else [part.strip().partition(":") for part in text.split(",")]
    check_queues(ctx, param, [name for name, _, _ in parts])
    if not any(colon for _, colon, _ in parts):
        return [name for name, _, _ in parts]
    weights: dict[str, int] = {}
    for name, colon, weight in parts:
        if colon and not (weight.isdecimal() and int(weight) > 0):
            msg = f"{name}:{weight} has no weight; write a whole number of at least 1"
            raise click.BadParameter(msg, ctx, param)
        weights[name] = int(weight) if colon else 1
    return weights


@click.command(cls=BackendCommand)
@click.option(
    "--queues",
    "-q",
    callback=_queues,
    metavar="A,B,C | A:6,B:3",
    help="Queues to work on: most urgent first, strictly; or with weights, to share in proportion."
    "  [default: that of --default-queue]",
)
@click.option(
    "--concurrency",
    "-c",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Most tasks at the same time.",
)
@click.option("--stop-when-empty", is_flag=True, help="Stop when nothing is ready or running.")
@click.option("--max-tasks", type=click.IntRange(min=1), help="Run exactly so many, then stop.")
@click.option(
    "--log-level",
    type=click.Choice(_LEVELS, case_sensitive=False),
    default="info",
    show_default=True,
    help="Least severe log lines to write to standard error.",
)
@click.option(
    "--log-format",
    type=click.Choice(("text", "json")),
    default="text",
    show_default=True,
    help="Form of the log lines.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --log-format json.")
@supervision_options
@click.pass_context
def command(
    ctx: click.Context,
    backend: Backend,
    queues: list[str] | dict[str, int],
    concurrency: int,
    stop_when_empty: bool,
    max_tasks: int | None,
    log_level: str,
    log_format: str,
    as_json: bool,
    processes: int,
    reload: bool,
    recycle_tasks: int | None,
    recycle_age: float | None,
    recycle_memory: int | None,
) -> None:
    """Run a worker in this process, or several in processes of their own.

    The first SIGTERM or Ctrl-C stops it gently, within --grace; the second at once. Tasks that do
    not finish are put back. SIGHUP replaces the processes of --processes one after another.
    """
    configure_logging(log_level, as_json=as_json or log_format == "json")
    if max_tasks is not None and recycle_tasks is not None:
        raise click.UsageError("--max-tasks and --recycle-tasks exclude each other", ctx)
    line = supervisor_line()
    if line is None and is_called_for(
        processes=processes,
        reload=reload,
        recycle_tasks=recycle_tasks,
        recycle_age=recycle_age,
        recycle_memory=recycle_memory,
    ):
        code = supervise(
            processes,
            grace_s=Config.from_env(**backend.flags).grace,
            recycle_age=recycle_age,
            recycle_memory=recycle_memory,
            reload=reload,
        )
        ctx.exit(code)
    driver = backend.driver()
    tasks = sorted(definition.name for definition in registry)
    if tasks:
        log.info("tasks: %s", ", ".join(tasks))
    else:
        log.warning(
            "no tasks found (%s); name the modules that define them with --app, ASYNC_TASK_APP or"
            " app in [tool.async-task] of pyproject.toml - until then every task is put back",
            backend.app.source,
        )

    _spare_collector()
    most = max_tasks if recycle_tasks is None else recycle_tasks
    worker = Worker(driver, queues, concurrency, most, stop_when_empty=stop_when_empty)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_work(worker, line))
    if recycle_tasks is not None and worker.spent:
        ctx.exit(RECYCLE_EXIT)


def _spare_collector() -> None:
    """Have the garbage collector look less often, and never at what was imported.

    What an application has set itself stays. After its imports there is next to nothing to collect
    (12 objects of 39,000), and to walk over them would hold up all tasks for 18 ms, time and again.
    """
    gc.freeze()
    young, *older = gc.get_threshold()
    if 0 < young < YOUNG_OBJECTS:
        gc.set_threshold(YOUNG_OBJECTS, *older)


async def _work(worker: Worker, line: socket.socket | None) -> None:
    following = None if line is None else follow(line, worker)
    await worker.start()
    if following is not None:
        following.cancel()
    if worker.running:
        _leave(worker.running)


def _leave(stuck: int) -> None:
    """End the process now: threads cannot be stopped, and Python would wait for them."""
    log.warning("leaving behind what does not end (tasks: %d); it was put back", stuck)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
