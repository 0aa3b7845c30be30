"""What `async-task worker` imports in the scenarios with a supervisor: all tasks, and some more."""

from __future__ import annotations

import os
import time
from pathlib import Path

from async_task import Task, task

from faults import app
from faults.history import Kind
from faults.worker import start_pulse

if app.HISTORY in os.environ and app.WORKER not in os.environ:  # a worker; children inherit it
    os.environ[app.WORKER] = str(os.getpid())
    start_pulse()

_hoard: list[bytes] = []


@task(name="faults.hold_child", process=True)
def hold_child(gate: str, pids: str) -> None:
    """Compute in a child process until the gate opens; tell its pid in a file."""
    app.record(Kind.START)
    with open(pids, "a") as file:
        file.write(f"{os.getpid()}\n")
    while not Path(gate).exists():
        time.sleep(0.02)
    app.record(Kind.DONE)


class LastChance(Task[None], name="faults.last_chance"):
    """Holds its only run at a gate, then fails."""

    max_retries = 0

    def __init__(self, gate: str) -> None:
        self.gate = gate

    async def handle(self) -> None:
        with app.recorded():
            await app.opened(self.gate)
            raise ValueError("the only run failed")

    async def failed(self, exception: Exception) -> None:
        app.record(Kind.MOURNED)


@task(name="faults.block_at_gate")
async def block_at_gate(gate: str) -> None:
    """Block the event loop until the gate opens."""
    with app.recorded():
        while not Path(gate).exists():  # noqa: ASYNC240 - blocking is the fault
            time.sleep(0.02)  # noqa: ASYNC251 - a supervisor blocks, too


@task(name="faults.hoard")
async def hoard(mib: int) -> None:
    """Take memory and never give it back."""
    with app.recorded():
        _hoard.append(os.urandom(mib << 20))
