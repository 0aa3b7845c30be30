"""One contender on one empty store: sending to it, and running its worker, both measured."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from benchmarks.accounting import cpu_s, machine_busy_s, spent_s, tree
from benchmarks.environments import ROOT, python
from benchmarks.ledger import VARIABLE, Ledger

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from benchmarks.contenders import Contender
    from benchmarks.stores import Store

LOOK_S: Final = 0.005
"""How often the runner looks at the ledger."""
STUCK_S: Final = 15.0
"""When nothing has run for so long, what is missing is lost."""


class MissingError(Exception):
    """The contender cannot do what was asked."""


class Sender:
    """A process that sends; made by `Scene.sending`."""

    def __init__(self, process: subprocess.Popen[str], scene: Scene) -> None:
        self._process = process
        self._scene = scene

    def order(self, do: str, **details: Any) -> dict[str, float]:
        """Have something done, and return what it took.

        Raises:
            MissingError: The library has no such thing.
        """
        self.begin(do, **details)
        return self.end()

    def begin(self, do: str, **details: Any) -> None:
        """Have something done, while the caller does something else until `end`."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **details}) + "\n")
        self._process.stdin.flush()

    def end(self) -> dict[str, float]:
        """Wait for what was begun."""
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self._scene.contender.name} cannot send: {self._scene.printed}")
        took: dict[str, float] | None = json.loads(answer)
        if took is None:
            raise MissingError
        return took

    def send(self, do: str, start: int, count: int, **details: Any) -> dict[str, float]:
        """Send tasks and return figures per task: `rate`, `cpu_us` and `server_us`."""
        store = self._scene.store
        before = cpu_s(store.processes())
        took = self.order(do, start=start, count=count, **details)
        server_s = spent_s(before, cpu_s(store.processes()))
        return {
            "rate": count / took["wall_s"],
            "cpu_us": took["cpu_s"] / count * 1e6,
            "server_us": server_s / count * 1e6,
            "grown_mib": took["grown_mib"],
        }


@dataclass(slots=True)
class Reading:
    """What had run by a moment, and what had been used by then."""

    done: int
    at_s: float
    worker: dict[int, float]
    server: dict[int, float]
    machine_s: float


class Working:
    """A worker that runs; made by `Scene.worker`."""

    def __init__(self, process: subprocess.Popen[bytes], scene: Scene) -> None:
        self._process = process
        self._scene = scene
        self.began_ns = time.monotonic_ns()

    @property
    def pids(self) -> list[int]:
        """Its processes."""
        return tree(self._process.pid)

    def read(self, start: int, count: int) -> Reading:
        """Read what has been done of a span of tasks, and the clocks."""
        done = self._scene.ledger.done(start, count)
        return Reading(
            done,
            time.monotonic(),
            cpu_s(self.pids),
            cpu_s(self._scene.store.processes()),
            machine_busy_s(),
        )

    def wait(self, start: int, count: int, least: int | None = None) -> int:
        """Wait until `least`, or all, of a span of tasks have started; return how many have."""
        ledger = self._scene.ledger
        done, least = 0, count if least is None else least
        progress = time.monotonic()
        while done < least:
            now = ledger.done(start, count)
            if now > done:
                done, progress = now, time.monotonic()
            elif self._process.poll() is not None:
                raise RuntimeError(f"{self._scene.contender.name} stopped: {self._scene.printed}")
            elif time.monotonic() - progress > STUCK_S:
                break
            time.sleep(LOOK_S)
        return done

    def drained(
        self, start: int, count: int, least: int | None = None, *, after: int = 1
    ) -> dict[str, float]:
        """Measure a worker that is at a span of tasks.

        Args:
            start: The first task.
            count: How many.
            least: How many of them must have started in the end, if not all.
            after: How many of them start before anything is measured.

        Returns:
            Figures per task, and `lost` and `repeated`.
        """
        ledger = self._scene.ledger
        self.wait(start, count, after)
        first = self.read(start, count)
        self.wait(start, count, least)
        last = self.read(start, count)
        done = max(last.done - first.done, 1)
        times = sorted(at for at in ledger.started_ns[start : start + count] if at)
        timed = times[after - 1 :]
        span_s = max(timed[-1] - timed[0], 1) / 1e9 if timed else float("inf")
        own_s, server_s = spent_s(first.worker, last.worker), spent_s(first.server, last.server)
        wall_s = max(last.at_s - first.at_s, 1e-9)
        others_s = last.machine_s - first.machine_s - own_s - server_s
        return {
            "rate": (len(timed) - 1) / span_s,
            "cpu_us": own_s / done * 1e6,
            "server_us": server_s / done * 1e6,
            "others": others_s / wall_s,
            "first_s": (times[0] - self.began_ns) / 1e9 if times else float("inf"),
        } | self._scene.outcome(start, count, least)


class Scene:
    """A contender, an empty store and a ledger.

    Args:
        contender: Who.
        store: Where; emptied.
        folder: For files.
        size: Most tasks that will be sent.
    """

    def __init__(self, contender: Contender, store: Store, folder: Path, size: int) -> None:
        self.contender = contender
        self.store = store
        self._url = store.fresh()
        self._log = folder / "contender.log"
        path = folder / "ledger"
        self.ledger = Ledger.create(path, size)
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "ASYNC_TASK_BENCH_URL": self._url,
            VARIABLE: str(path),
        }
        # Set where containers are built; every start would compile what is installed as editable.
        self._environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self._prepared = False

    @property
    def printed(self) -> str:
        """The end of what its processes have printed."""
        return self._log.read_text(errors="replace")[-4000:]

    def outcome(self, start: int, count: int, least: int | None = None) -> dict[str, float]:
        """Count what was lost and what ran twice of a span of tasks of which `least` were due."""
        done = self.ledger.done(start, count)
        lost = max((count if least is None else least) - done, 0)
        return {"lost": lost, "repeated": self.ledger.repeated(start, count)}

    @contextmanager
    def sending(self) -> Generator[Sender]:
        """Run a process that sends, connected; the first one makes the schema."""
        command = self._python("-m", "benchmarks.side", self.contender.module, "send")
        with (
            self._log.open("ab") as log,
            subprocess.Popen(
                command,
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            ) as process,
        ):
            sender = Sender(process, self)
            if not self._prepared:
                sender.order("prepare")
                self._prepared = True
            sender.order("open")
            yield sender
            sender.order("close")

    @contextmanager
    def worker(
        self, *, io: bool = False, concurrency: int | None = None, processes: int = 1
    ) -> Generator[Working]:
        """Run a worker, and kill it in the end."""
        contender = self.contender
        most = contender.concurrency if concurrency is None else concurrency
        template = contender.io if io and contender.io else contender.work
        words = {"concurrency": most, "processes": processes, "url": self._url}
        command = self._python(*(word.format_map(words) for word in template))
        environment = self._environment | {"ASYNC_TASK_BENCH_CONCURRENCY": str(most)}
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield Working(process, self)
        finally:
            _end(process)

    def _python(self, *arguments: str) -> Sequence[str]:
        return [python(self.contender), *arguments]


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a worker with all its processes: nobody needs its store any more."""
    for pid in tree(process.pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    with suppress(ProcessLookupError):  # what lost its parent
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
