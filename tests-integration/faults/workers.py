"""Worker processes: started, killed, frozen, told to stop, and always cleaned up."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from async_task.config import setting_rows

from faults.app import HISTORY
from faults.history import Kind, now_ns
from faults.waiting import until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from faults.history import History


HERE: Final = str(Path(__file__).parents[1])


class WorkerProcess:
    """One worker process. Faults done to it are written into the history."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, history: History) -> None:
        self.pid = process.pid
        self._process = process
        self._log = log
        self._history = history

    @property
    def log(self) -> str:
        """What it has printed so far."""
        return self._log.read_text()

    @property
    def exit_code(self) -> int | None:
        """Its exit code once it has ended."""
        return self._process.poll()

    async def ready(self) -> None:
        """Wait until it leases tasks."""
        await self.says("working on")

    async def says(self, text: str, *, within_s: float = 60) -> None:
        """Wait until its log contains `text`, or it has ended without."""

        def said_or_ended() -> bool:
            return text in self.log or self.exit_code is not None

        await until(said_or_ended, f"{text!r} in its log", within_s=within_s)
        assert text in self.log, f"ended with exit code {self.exit_code}"

    def kill(self) -> None:
        """Kill -9."""
        since_ns = now_ns()
        self._process.kill()
        self._process.wait()
        self._history.died(self.pid, since_ns=since_ns)

    async def died(self) -> None:
        """Wait for its death, which nobody here brought about."""
        since_ns = now_ns()
        await self.ended()
        self._history.died(self.pid, since_ns=since_ns)

    def freeze(self) -> None:
        """SIGSTOP."""
        self._history.record(Kind.STOPPED, pid=self.pid)
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)
        self._history.record(Kind.CONTINUED, pid=self.pid)

    def terminate(self) -> None:
        """SIGTERM."""
        self._history.record(Kind.TERMINATED, pid=self.pid)
        self._process.terminate()

    async def ended(self, *, within_s: float = 60) -> int:
        """Wait for its end and return its exit code."""
        await until(lambda: self.exit_code is not None, "the worker's end", within_s=within_s)
        return self._process.returncode

    def close(self) -> None:
        """Be rid of it, whatever state it is in."""
        if self._process.poll() is None:
            self._process.kill()  # also wakes a frozen one, to die
            self._process.wait()


class Crew(WorkerProcess):
    """A supervisor and its workers, who all write into one log."""

    @property
    def pids(self) -> list[int]:
        """All workers it ever started, in order."""
        return [int(pid) for pid in re.findall(r"worker (\d+) started", self.log)]

    @property
    def living(self) -> list[int]:
        """Those that have not ended."""
        return [pid for pid in self.pids if lives(pid)]

    async def working(self, count: int) -> None:
        """Wait until so many workers have ever begun to lease."""

        def begun_or_ended() -> bool:
            return self.log.count("working on") >= count or self.exit_code is not None

        await until(begun_or_ended, f"{count} workers")
        assert self.exit_code is None, f"ended with exit code {self.exit_code}"

    def kill(self) -> None:
        """Kill -9 the supervisor, upon which its workers end."""
        workers, since_ns = self.living, now_ns()
        self._process.kill()
        self._process.wait()
        for pid in workers:
            self._history.died(pid, since_ns=since_ns)

    def kill_worker(self, pid: int) -> None:
        """Kill -9 one of its workers."""
        since_ns = now_ns()
        os.kill(pid, signal.SIGKILL)
        self._history.died(pid, since_ns=since_ns)

    def terminate(self) -> None:
        """SIGTERM to the supervisor."""
        for pid in self.living:
            self._history.record(Kind.TERMINATED, pid=pid)
        self._process.terminate()

    def hang_up(self) -> None:
        """SIGHUP to the supervisor."""
        self._process.send_signal(signal.SIGHUP)


def lives(pid: int) -> bool:
    """Say whether a process has not ended; nobody may have waited for it yet."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


class Fleet:
    """The workers of one scenario.

    Args:
        config: Settings of all of them.
        history: What they write to.
    """

    def __init__(self, config: dict[str, Any], history: History) -> None:
        self._config = config
        self._history = history
        self._all: list[WorkerProcess] = []
        self._logs: list[Path] = []
        self._seen_ns = now_ns()

    def mend(self, **options: Any) -> int:
        """Replace workers that have died, as a supervisor would; return how many there were."""
        seen_ns, self._seen_ns = self._seen_ns, now_ns()
        dead = [worker for worker in self._all if worker.exit_code is not None]
        for worker in dead:
            self._history.died(worker.pid, since_ns=seen_ns)
            self._all.remove(worker)
            self.start(**options)
        return len(dead)

    @property
    def logs(self) -> list[str]:
        """What each has printed."""
        return [log.read_text() for log in self._logs]

    def start(
        self,
        *queues: str,
        concurrency: int = 10,
        modules: Sequence[str] = ("faults.app",),
        **config: Any,
    ) -> WorkerProcess:
        """Start one worker; `config` goes over the settings of all."""
        options = {
            "modules": modules,
            "config": self._config | config,
            "worker": {"queues": queues or ("default",), "concurrency": concurrency},
        }
        worker = WorkerProcess(
            *self._spawn("-m", "faults.worker", json.dumps(options)), self._history
        )
        self._all.append(worker)
        return worker

    def supervise(
        self, *options: str, app: str = "faults.supervised", folder: Path | None = None
    ) -> Crew:
        """Start `async-task worker` with these options, in a folder."""
        rows = setting_rows()
        settings = {rows[name].env[0]: str(value) for name, value in self._config.items()}
        command = ("-m", "async_task", "worker", "--app", app, *options)
        crew = Crew(*self._spawn(*command, folder=folder, **settings), self._history)
        self._all.append(crew)
        return crew

    def _spawn(
        self, *command: str, folder: Path | None = None, **settings: str
    ) -> tuple[subprocess.Popen[bytes], Path]:
        environment = {
            **os.environ,
            **settings,
            HISTORY: str(self._history.path),
            "PYTHONPATH": os.pathsep.join(filter(None, (HERE, os.environ.get("PYTHONPATH")))),
        }
        log = self._history.path.with_name(f"worker-{len(self._logs)}.log")
        self._logs.append(log)
        with log.open("ab") as output:  # whose lines are then in the order of their writing
            process = subprocess.Popen(
                [sys.executable, *command],
                env=environment, cwd=folder,
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        return process, log

    async def started(self, count: int, *queues: str, **options: Any) -> list[WorkerProcess]:
        """Start several of one kind and wait until all of them lease."""
        workers = [self.start(*queues, **options) for _ in range(count)]
        for worker in workers:
            await worker.ready()
        return workers

    def close(self) -> None:
        """End all of them."""
        for worker in self._all:
            worker.close()
