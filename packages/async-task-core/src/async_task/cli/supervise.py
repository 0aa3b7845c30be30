"""`async-task worker` with several processes, with recycling, or with reloading."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from async_task.runtime.leash import Leash, inherited_line
from async_task.runtime.reload import source_watch
from async_task.runtime.supervisor import Limits, Supervisor

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from async_task.core.worker import Worker

_OPTIONS = (
    click.option(
        "--processes",
        "-p",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        help="Worker processes; each runs --concurrency tasks at the same time.",
    ),
    click.option("--reload", is_flag=True, help="Restart when Python files here change."),
    click.option(
        "--recycle-tasks",
        type=click.IntRange(min=1),
        help="Replace a worker process after so many tasks.",
    ),
    click.option(
        "--recycle-age",
        type=click.FloatRange(min=1),
        metavar="SECONDS",
        help="Replace a worker process after so long.",
    ),
    click.option(
        "--recycle-memory",
        type=click.IntRange(min=1),
        metavar="MIB",
        help="Replace a worker process above so much resident memory (Linux).",
    ),
)


def supervision_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that call for a supervisor."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def is_called_for(
    *,
    processes: int,
    reload: bool,
    recycle_tasks: int | None,
    recycle_age: float | None,
    recycle_memory: int | None,
) -> bool:
    """Say whether these options need a supervisor."""
    recycled = (recycle_tasks, recycle_age, recycle_memory) != (None, None, None)
    return processes > 1 or reload or recycled


def supervise(
    processes: int,
    *,
    grace_s: float,
    recycle_age: float | None,
    recycle_memory: int | None,
    reload: bool,
) -> int:
    """Run this very command in `processes` processes; return the exit code."""
    limits = Limits(
        age_s=recycle_age,
        memory_bytes=None if recycle_memory is None else recycle_memory << 20,
    )
    supervisor = Supervisor(
        [sys.executable, "-m", "async_task", *sys.argv[1:]],
        processes,
        grace_s=grace_s,
        limits=limits,
        changed=source_watch(Path.cwd()) if reload else None,
    )
    return asyncio.run(supervisor.run())


def supervisor_line() -> socket.socket | None:
    """Return the line to the supervisor that started this process, if one did."""
    return inherited_line()


def follow(line: socket.socket, worker: Worker) -> asyncio.Task[None]:
    """Say ready to the supervisor when the worker takes tasks, and end with it."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the supervisor's to act on
    leash = Leash(line, worker.stop_now)

    async def say_ready() -> None:
        await worker.working.wait()
        leash.say_ready()

    return asyncio.create_task(say_ready())
