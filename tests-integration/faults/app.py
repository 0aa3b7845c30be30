"""The tasks that worker processes run. Each writes to the history what it does."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from async_task import ReleaseTask, Task, current_context, task

from faults.history import Event, History, Kind, now_ns
from faults.waiting import until

if TYPE_CHECKING:
    from collections.abc import Generator

HISTORY = "FAULTS_HISTORY"
"""Environment variable with the path of the history file."""
WORKER = "FAULTS_WORKER"
"""Environment variable with the pid of the worker, which its child processes inherit."""


@functools.cache
def history() -> History:
    """Return the history of the scenario that this process plays in."""
    return History(Path(os.environ[HISTORY]))


def record(kind: Kind, *, value: int = 0) -> None:
    """Write an event about the running task."""
    at_ns, context = now_ns(), current_context()
    pid = int(os.environ[WORKER])
    event = Event(kind, at_ns, pid, context.task_id, context.deliveries, context.attempt, value)
    history().append(event)


@contextlib.contextmanager
def recorded() -> Generator[None]:
    """Write the start and the end of the block, which is all of a task."""
    record(Kind.START)
    try:
        yield
    except asyncio.CancelledError:
        record(Kind.CANCELLED)
        raise
    except ReleaseTask:
        record(Kind.RELEASED)
        raise
    except BaseException:
        record(Kind.FAILED)
        raise
    record(Kind.DONE)


async def opened(gate: str) -> None:
    """Return once the file `gate` exists."""
    await until(Path(gate).exists, f"the gate {gate} opens")


@task(name="faults.nap")
async def nap(seconds: float) -> None:
    with recorded():
        await asyncio.sleep(seconds)


@task(name="faults.hold")
async def hold(gate: str) -> None:
    """Run until the gate opens."""
    with recorded():
        await opened(gate)


@task(name="faults.hold_thread")
def hold_thread(gate: str) -> None:
    """Run in a thread until the gate opens; nothing else can end it."""
    with recorded():
        while not Path(gate).exists():
            time.sleep(0.02)


@task(name="faults.hold_deaf")
async def hold_deaf(gate: str) -> None:
    """Run until the gate opens; swallow what would end it sooner."""
    with recorded():
        closed = True
        while closed:
            with contextlib.suppress(asyncio.CancelledError):
                await opened(gate)
                closed = False


@task(name="faults.block_asleep")
async def block_asleep(seconds: float) -> None:
    """Block the event loop, leaving the interpreter to other threads."""
    with recorded():
        time.sleep(seconds)  # noqa: ASYNC251 - that is the fault


@task(name="faults.block_busy")
async def block_busy(seconds: float) -> None:
    """Block the event loop by running Python code."""
    with recorded():
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            pass


@task(name="faults.freeze_once", max_retries=0)
async def freeze_once(gate: str) -> None:
    """Freeze the process at the end of the first delivery; in later ones fail at the gate."""
    if current_context().deliveries == 1:
        with recorded():
            pass
        history().record(Kind.STOPPED, pid=os.getpid())
        os.kill(os.getpid(), signal.SIGSTOP)
        return
    with recorded():
        await opened(gate)
        raise ValueError("the second delivery failed")


@task(name="faults.stumble")
async def stumble() -> None:
    """Ask to be put back at the first delivery, fail at the second."""
    with recorded():
        if current_context().deliveries == 1:
            raise ReleaseTask(0)
        if current_context().attempt == 0:
            raise ValueError("not yet")


@task(name="faults.poison")
async def poison(number: int) -> None:
    """End the process by this signal, or by an exit without clean-up for 0."""
    record(Kind.START)
    record(Kind.CRASHED)
    if number:
        os.kill(os.getpid(), number)
    os._exit(1)


class Mourned(Task[None], name="faults.mourned"):
    """Fails; the first time its process dies while it is told so."""

    max_retries = 0

    async def handle(self) -> None:
        with recorded():
            raise ValueError("to be told of")

    async def failed(self, exception: Exception) -> None:
        if current_context().deliveries == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        record(Kind.MOURNED)
