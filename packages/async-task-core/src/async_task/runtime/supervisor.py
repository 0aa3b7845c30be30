"""Several worker processes as one: started, restarted, recycled and rolled over.

The supervisor runs no tasks and holds no connection, so that there is little that can fail in it.
Each worker is a process of its own, started with the same command line.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from async_task.runtime.outage import back_off_s

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

log = logging.getLogger("async_task.supervisor")

RECYCLE_EXIT: Final = 100
"""Exit code of a worker that has run its share of tasks and wants to be replaced."""
SUPERVISED: Final = "ASYNC_TASK_SUPERVISED"
"""Environment variable that tells a worker the file descriptor of its supervisor's socket."""
READY: Final = b"R"
READY_S: Final = 30.0
"""How long a roll-over waits for a new worker before it gives up and leaves the old ones be."""
STABLE_S: Final = 60.0
"""A worker that lived so long starts anew without delay when it dies."""
LOOK_S: Final = 1.0
AT_ONCE: Final = signal.SIGINT
"""What tells a worker that is stopping to do so at once; a second SIGTERM would merge with one that
is not delivered yet."""
EXTRA_S: Final = 10.0
"""What workers get beyond their grace time before they are killed."""
_TOLD_TO_STOP: Final = (-signal.SIGTERM, -signal.SIGINT, 130)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When a worker is replaced: it drains first, so that nothing is lost or charged.

    Attributes:
        age_s: Seconds after its start; None for never.
        memory_bytes: Above so much resident memory (Linux); None for never.
    """

    age_s: float | None = None
    memory_bytes: int | None = None


class Supervisor:
    """Keeps `processes` workers running.

    Args:
        command: What starts one worker.
        processes: How many.
        grace_s: What a worker gets to stop.
        limits: When a worker is replaced.
        changed: Says whether the source changed since it was last asked; for `--reload`.
    """

    def __init__(
        self,
        command: Sequence[str],
        processes: int,
        *,
        grace_s: float,
        limits: Limits,
        changed: Callable[[], bool] | None = None,
    ) -> None:
        self._command = list(command)
        self._processes = processes
        self._grace_s = grace_s
        self._limits = limits
        self._changed = changed
        self._workers: list[_Process] = []
        self._slots: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._proven = asyncio.Event()
        self._edited = asyncio.Event()
        self._rolling = asyncio.Lock()
        self._exit_code = 0

    async def run(self) -> int:
        """Keep workers running until SIGTERM, SIGINT or their own end; return the exit code.

        The first worker shows that workers can start, before the others do. SIGHUP replaces every
        worker, one after another, each new one ready before its old one stops; where a new one does
        not get ready, the old ones stay. A second SIGTERM stops at once.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        rolling: set[asyncio.Task[None]] = set()

        def roll() -> None:
            rolling.add(task := loop.create_task(self._roll_over()))
            task.add_done_callback(rolling.discard)

        loop.add_signal_handler(signal.SIGHUP, roll)
        looking = asyncio.create_task(self._look())
        self._open_slot()
        proven = asyncio.create_task(self._proven.wait())
        await asyncio.wait({*self._slots, proven}, return_when=asyncio.FIRST_COMPLETED)
        proven.cancel()
        if self._slots and not self._stopping.is_set():
            for _ in range(self._processes - 1):
                self._open_slot()
        while self._slots:
            await asyncio.wait(set(self._slots))
        looking.cancel()
        return self._exit_code

    def _open_slot(self, worker: _Process | None = None) -> None:
        self._slots.add(slot := asyncio.create_task(self._keep(worker)))
        slot.add_done_callback(self._slots.discard)

    async def _keep(self, worker: _Process | None) -> None:
        """Keep one worker running, from the one given on."""
        deaths = 0
        while not self._stopping.is_set():
            if worker is None:
                worker = await self._started()
            code = await worker.process.wait()
            self._workers.remove(worker)
            if worker.replaced or (code == 0 and not worker.retired):
                return
            if self._stopping.is_set():
                break
            if code in (1, 2) and not (worker.was_ready or worker.retired):
                if self._changed is None:
                    log.error("a worker cannot start (exit code %d); giving up", code)
                    self._exit_code = code
                    self._stop()
                    return
                log.error("a worker cannot start (exit code %d); waiting for a change", code)
                self._edited.clear()
                await self._edited.wait()
            elif not worker.retired and code != RECYCLE_EXIT:
                deaths = 0 if worker.age_s > STABLE_S else deaths + 1
                log.error("worker %d ended with %s", worker.process.pid, _how(code))
                await asyncio.sleep(back_off_s(deaths))
            worker = None
        if worker is not None and not worker.ended_well:
            self._exit_code = self._exit_code or 1

    async def _started(self) -> _Process:
        worker = await _Process.start(self._command, self._proven.set)
        self._workers.append(worker)
        log.info("worker %d started", worker.process.pid)
        if self._stopping.is_set():  # since it was begun
            worker.send(signal.SIGTERM)
        return worker

    def _stop(self) -> None:
        """Stop all workers: gently, the second time at once."""
        if self._stopping.is_set():
            self._signal(AT_ONCE)
            return
        self._stopping.set()
        self._edited.set()
        kill_at = self._grace_s + EXTRA_S
        asyncio.get_running_loop().call_later(kill_at, self._signal, signal.SIGKILL)
        self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        for worker in self._workers:
            worker.send(number)

    async def _roll_over(self) -> None:
        async with self._rolling:
            log.info("replacing %d workers", len(self._workers))
            for old in list(self._workers):
                if self._stopping.is_set() or old not in self._workers or old.retired:
                    continue
                new = await self._started()
                new.replaced = True  # until it has proven itself, nobody misses it
                self._open_slot(new)
                if not await new.ready(READY_S):
                    log.error("worker %d does not get ready; the old ones stay", new.process.pid)
                    new.send(signal.SIGTERM)
                    return
                if old in self._workers:
                    new.replaced, old.replaced = False, True
                    old.send(signal.SIGTERM)
                else:  # it died meanwhile, and its slot has a new worker already
                    new.send(signal.SIGTERM)

    async def _look(self) -> None:
        """Retire workers that are over a limit, and restart all when the source changed."""
        while True:
            await asyncio.sleep(LOOK_S if self._changed is None else LOOK_S / 4)
            if self._stopping.is_set():
                return
            if self._changed is not None and self._changed():
                log.info("source changed; restarting")
                self._edited.set()
                for worker in self._workers:
                    worker.retired = True
                    worker.send(signal.SIGTERM)
                    worker.send(AT_ONCE)
                continue
            for worker in self._workers:
                reason = worker.over(self._limits)
                if reason and not any(worker.retired for worker in self._workers):
                    log.info("worker %d is replaced: %s", worker.process.pid, reason)
                    worker.retired = True
                    worker.send(signal.SIGTERM)


class _Process:
    """One worker process, and the socket whose end tells it that its supervisor is gone."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        line: socket.socket,
        on_ready: Callable[[], None],
    ) -> None:
        self.process = process
        self.retired = False
        self.replaced = False
        self.was_ready = False
        self._line = line
        self._on_ready = on_ready
        self._began = time.monotonic()
        asyncio.get_running_loop().add_reader(line, self._heard)
        self._settled = asyncio.Event()

    @classmethod
    async def start(cls, command: Sequence[str], on_ready: Callable[[], None]) -> _Process:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                env={**os.environ, SUPERVISED: str(theirs.fileno())},
                pass_fds=(theirs.fileno(),),
                process_group=0,  # a terminal's Ctrl-C comes to the supervisor, which passes it on
            )
        finally:
            theirs.close()
        return cls(process, ours, on_ready)

    @property
    def age_s(self) -> float:
        return time.monotonic() - self._began

    @property
    def ended_well(self) -> bool:
        """Whether its end was in order; told to stop before it can, or after, it just dies."""
        return self.process.returncode in (0, RECYCLE_EXIT, *_TOLD_TO_STOP)

    def send(self, number: signal.Signals) -> None:
        # In Python 3.11 `send_signal` would look first whether the process has ended, and take the
        # exit code away from who waits for it.
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, number)

    async def ready(self, timeout_s: float) -> bool:
        """Wait until it takes tasks; return whether it does."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._settled.wait(), timeout_s)
        return self.was_ready

    def over(self, limits: Limits) -> str | None:
        """Say which limit the worker is over, if any; while it starts, none."""
        if not self.was_ready:
            return None
        if limits.age_s is not None and self.age_s > limits.age_s:
            return f"older than {limits.age_s:.0f} s"
        if limits.memory_bytes is not None and _memory(self.process.pid) > limits.memory_bytes:
            return f"above {limits.memory_bytes >> 20} MiB of memory"
        return None

    def _heard(self) -> None:
        with contextlib.suppress(OSError):
            if self._line.recv(1) == READY:
                self.was_ready = True
                self._settled.set()
                self._on_ready()
                return
        self._settled.set()
        asyncio.get_running_loop().remove_reader(self._line)
        self._line.close()


def _memory(pid: int) -> int:
    """Return the resident memory of a process in bytes; 0 where /proc does not tell."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
