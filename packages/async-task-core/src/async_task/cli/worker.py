"""`async-task worker`."""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import sys
from typing import TYPE_CHECKING, Any, cast

import click

from async_task.cli.logs import configure_logging
from async_task.cli.options import BackendCommand, check_queues
from async_task.core.registry import registry
from async_task.core.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from async_task.cli.backend import Backend

log = logging.getLogger("async_task.app")

_LEVELS = ("debug", "info", "warning", "error")


def _queues(ctx: click.Context, param: click.Parameter, text: str | None) -> list[str]:
    names = [] if text is None else [name.strip() for name in text.split(",")]
    if any(":" in name for name in names):
        order = ",".join(name.partition(":")[0] for name in names)
        msg = f"weights are not supported yet; in strict order it is {order}"
        raise click.BadParameter(msg, ctx, param)
    check_queues(ctx, param, names)
    return names


@click.command(cls=BackendCommand)
@click.option(
    "--queues",
    "-q",
    callback=_queues,
    metavar="A,B,C",
    help="Queues to work on, most urgent first, strictly.  [default: that of --default-queue]",
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
def command(
    backend: Backend,
    queues: list[str],
    concurrency: int,
    stop_when_empty: bool,
    max_tasks: int | None,
    log_level: str,
    log_format: str,
    as_json: bool,
) -> None:
    """Run a worker in this process.

    The first SIGTERM or Ctrl-C stops it gently, within --grace; the second at once. Tasks that do
    not finish are put back.
    """
    configure_logging(log_level, as_json=as_json or log_format == "json")
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

    worker = Worker(driver, queues, concurrency, max_tasks, stop_when_empty=stop_when_empty)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_work(worker))


async def _work(worker: Worker) -> None:
    await worker.start()
    if worker.running:
        _leave(worker.running)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return that of uvloop if it is installed."""
    try:
        uvloop: Any = importlib.import_module("uvloop")
    except ImportError:
        return None
    return cast("Callable[[], asyncio.AbstractEventLoop]", uvloop.new_event_loop)


def _leave(stuck: int) -> None:
    """End the process now: threads cannot be stopped, and Python would wait for them."""
    log.warning("leaving behind what does not end (tasks: %d); it was put back", stuck)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
