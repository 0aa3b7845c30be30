"""What is measured: each scenario takes a contender and a store, and returns figures by name.

Names of figures: `rate` tasks/s; `cpu_us` CPU of the worker, or of the sender, per task in us;
`server_us` the same of the server; `calls` and `log_bytes` what the server counts itself; `p50_ms`
and so on of a distribution; `lost` and `repeated` tasks. What a contender has no way of doing is
left out.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks.accounting import cpu_s, memory_mib, resident_mib, spent_s
from benchmarks.scene import MissingError, Scene, Sender, Working

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from benchmarks.contenders import Contender
    from benchmarks.stores import Store

Figures = dict[str, float]

PAUSE_S: Final = 0.01
WARM_UP: Final = 100
"""Tasks that are sent, or run, before anything is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured.

    Attributes:
        share: Of the tasks in the table of contenders.
        idle_s: How long an idle worker is watched.
        paced_s: How long tasks are sent one by one to measure latency.
        backlog: Ready and delayed tasks behind those that are measured.
        crowd: Tasks in flight at once.
        produced: Tasks that one producer sends.
        processes: Processes of one worker.
    """

    share: float
    idle_s: float
    paced_s: float
    backlog: Sequence[int]
    crowd: Sequence[int]
    produced: int
    processes: Sequence[int] = (1, 2, 4)


SHORT: Final = Size(
    share=0.5, idle_s=1, paced_s=2, backlog=(1_000, 20_000), crowd=(1_000,), produced=100_000
)
FULL: Final = Size(
    share=1.0,
    idle_s=1,
    paced_s=2,
    backlog=(1_000, 1_000_000),
    crowd=(1_000, 10_000),
    produced=1_000_000,
)
SMOKE: Final = Size(
    share=0.01,
    idle_s=0.1,
    paced_s=0.2,
    backlog=(100,),
    crowd=(50,),
    produced=500,
    processes=(2,),
)


@dataclass(frozen=True, slots=True)
class Setting:
    """Whom to measure, where and how much."""

    contender: Contender
    store: Store
    folder: Path
    size: Size

    def scene(self, tasks: int) -> Scene:
        """Set up, with an empty store."""
        return Scene(self.contender, self.store, self.folder, tasks)

    @property
    def tasks(self) -> int:
        """How many no-op tasks."""
        return max(int(self.contender.tasks * self.size.share), 200)

    @property
    def paused(self) -> int:
        """How many tasks of 10 ms."""
        return max(int(self.contender.paused * self.size.share), 200)


def drain(setting: Setting) -> dict[str, Figures]:
    """Send by one, by a hundred callers and in bulk; then have a worker drain what was sent."""
    tasks = setting.tasks
    shares = {"one": tasks // 10, "together": tasks // 5}
    shares["bulk"] = tasks - sum(shares.values())
    figures: dict[str, Figures] = {}
    tasks += WARM_UP
    scene = setting.scene(tasks)
    with scene.sending() as sender:
        sender.send("quickest", 0, WARM_UP)
        start, used = WARM_UP, setting.store.used()
        for way, count in shares.items():
            used = setting.store.used()
            try:
                figures[f"dispatch, {way}"] = sender.send(way, start, count)
            except MissingError:
                sender.send("quickest", start, count)
            start += count
        sent = _difference(used, setting.store.used(), shares["bulk"])
    used = setting.store.used()
    with scene.worker() as working:
        drained = working.drained(0, tasks)
    run = _difference(used, setting.store.used(), tasks)
    outcome = scene.outcome(0, tasks)
    for figured in figures.values():
        figured |= outcome
    figures |= {"drain": drained | outcome, "start": {"first_s": drained["first_s"]}}
    if sent:
        figures["whole life"] = {key: sent[key] + run[key] for key in sent}
    return figures


def waiting(setting: Setting) -> dict[str, Figures]:
    """Drain tasks of 10 ms; then, at half that rate, how long a task waits for its start."""
    count = setting.paused
    scene = setting.scene(count)
    with scene.sending() as sender:
        sender.send("quickest", 0, count, seconds=PAUSE_S)
    with scene.worker(io=True) as working:
        drained = working.drained(0, count)
    figures = {"10 ms tasks": drained}
    rate = drained["rate"] / 2
    every_s = 0.005
    burst = max(round(rate * every_s), 1)
    count = burst * int(setting.size.paced_s / every_s)
    scene = setting.scene(WARM_UP + count)
    with scene.sending() as sender, scene.worker(io=True) as working:
        _warm_up(scene, sender, working)
        sender.begin("paced", start=WARM_UP, count=count, seconds=PAUSE_S, every_s=every_s,
                     burst=burst)  # fmt: skip
        working.wait(WARM_UP, count)
        sender.end()
        working.wait(WARM_UP, count)
    loaded = _latency(scene, WARM_UP, count) | scene.outcome(WARM_UP, count)
    figures["latency, half load"] = {"sent_rate": burst / every_s} | loaded
    return figures


def idle(setting: Setting) -> dict[str, Figures]:
    """Watch a worker that has nothing to do; then send it a task every 20 ms."""
    count = int(setting.size.paced_s / 0.02)
    scene = setting.scene(WARM_UP + count)
    with scene.sending() as sender, scene.worker(io=True) as working:
        _warm_up(scene, sender, working)
        time.sleep(setting.size.idle_s / 2)  # threads and connections are made after the first task
        pids = working.pids
        before = cpu_s(pids)
        time.sleep(setting.size.idle_s)
        resting = {
            "idle_percent": spent_s(before, cpu_s(pids)) / setting.size.idle_s * 100,
            "rss_mib": resident_mib(pids),
            "pss_mib": memory_mib(pids),
        }
        sender.order("paced", start=WARM_UP, count=count, every_s=0.02, burst=1)
        working.wait(WARM_UP, count)
    latency = _latency(scene, WARM_UP, count) | scene.outcome(WARM_UP, count)
    return {"latency, idle": latency, "idle": resting}


def delayed(setting: Setting) -> dict[str, Figures]:
    """Send tasks for later; how late they start."""
    count, delay_s = 100, 2.0
    scene = setting.scene(WARM_UP + count)
    with scene.sending() as sender, scene.worker(io=True) as working:
        _warm_up(scene, sender, working)
        try:
            sender.order("paced", start=WARM_UP, count=count, delay=delay_s, every_s=0.01, burst=1)
        except MissingError:
            return {}
        working.wait(WARM_UP, count)
    late = _latency(scene, WARM_UP, count, delay_s) | scene.outcome(WARM_UP, count)
    return {"delayed": late}


def backlog(setting: Setting) -> dict[str, Figures]:
    """Drain the first of a backlog of ready tasks beside as many delayed ones."""
    if not setting.contender.bulky:
        return {}
    measured = min(setting.tasks, 10_000)
    figures: dict[str, Figures] = {}
    for size in setting.size.backlog:
        scene = setting.scene(measured + 2 * size)
        with scene.sending() as sender:
            try:
                sender.send("quickest", measured + size, size, delay=3600)
            except MissingError:
                return {}
            sender.send("quickest", 0, measured + size)
        with scene.worker() as working:
            figures[f"backlog {size:,}"] = working.drained(0, measured + size, measured)
    return figures


def processes(setting: Setting) -> dict[str, Figures]:
    """Drain with several processes, measured when all of them have started."""
    tasks = 3 * setting.tasks
    figures: dict[str, Figures] = {}
    for count in setting.size.processes:
        scene = setting.scene(tasks)
        with scene.sending() as sender:
            sender.send("quickest", 0, tasks)
        with scene.worker(processes=count) as working:
            figures[f"drain, processes: {count}"] = working.drained(0, tasks, after=tasks // 2)
    return figures


def crowd(setting: Setting) -> dict[str, Figures]:
    """Have many tasks in flight in one worker, and weigh it."""
    figures: dict[str, Figures] = {}
    for count in setting.size.crowd:
        scene = setting.scene(WARM_UP + count)
        with scene.sending() as sender, scene.worker(concurrency=count) as working:
            _warm_up(scene, sender, working)
            before = memory_mib(working.pids)
            sender.send("quickest", WARM_UP, count, seconds=30.0)
            running = working.wait(WARM_UP, count)
            grown = memory_mib(working.pids) - before
        figures[f"{count:,} in flight"] = {
            "kib_per_task": grown * 1024 / max(running, 1),
            "running": running,
        }
    return figures


def produce(setting: Setting) -> dict[str, Figures]:
    """Send very many from one process, and weigh it."""
    if not setting.contender.bulky:
        return {}
    count = setting.size.produced
    scene = setting.scene(count)
    with scene.sending() as sender:
        sender.send("quickest", 0, min(count, 10_000))
        sent = sender.send("quickest", 0, count)
    return {f"{count:,} from one producer": sent}


def _warm_up(scene: Scene, sender: Sender, working: Working) -> None:
    sender.send("quickest", 0, WARM_UP)
    working.wait(0, WARM_UP)


def _difference(before: Figures, after: Figures, tasks: int) -> Figures:
    """Return what a store has counted meanwhile, per task."""
    return {key: (after[key] - count) / tasks for key, count in before.items()}


def _latency(scene: Scene, start: int, count: int, delay_s: float = 0.0) -> Figures:
    """Return percentiles of the time from sending to starting, in ms, beyond the delay."""
    ledger = scene.ledger
    pairs = zip(
        ledger.started_ns[start : start + count], ledger.sent_ns[start : start + count], strict=True
    )
    waits = sorted((began - sent) / 1e6 - delay_s * 1000 for began, sent in pairs if began)
    if not waits:
        return {}
    return {
        "p50_ms": waits[len(waits) // 2],
        "p99_ms": waits[min(int(len(waits) * 0.99), len(waits) - 1)],
        "worst_ms": waits[-1],
    }


SCENARIOS: Final[dict[str, Callable[[Setting], dict[str, Figures]]]] = {
    "drain": drain,
    "waiting": waiting,
    "idle": idle,
    "delayed": delayed,
    "processes": processes,
    "backlog": backlog,
    "crowd": crowd,
    "produce": produce,
}
