"""Has our CPU time per task grown? `python -m benchmarks check`, against `baseline.json`.

What is compared is no time but a ratio: CPU time per task to that of one turn of a calibration
loop, which does what a task queue is made of (asyncio tasks, msgpack, dictionaries) and none of our
code. The two alternate, in one process and on one core, and of each the least of all rounds counts:
other work on the machine can only add. Seven runs on two cores, three of them beside two busy
loops, stayed within 6 % of one another, so that a fifth more is growth.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from async_task import Config, Dispatcher, QueueDriver, Worker, task

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

BASELINE: Final = Path(__file__).with_name("baseline.json")
TOLERANCE: Final = 1.2
TASKS: Final = 4_000
ROUNDS: Final = 9

_msgpack: Any = importlib.import_module("msgpack")  # it has no types


@task(name="benchmarks:nothing")
async def nothing(_number: int) -> None:
    """Do nothing."""


class Check:
    """The things that are timed, on one driver."""

    def __init__(self, **settings: Any) -> None:
        self._driver = QueueDriver.from_config(Config(**settings))
        self._dispatcher = Dispatcher(self._driver)

    async def together(self) -> None:
        """Dispatch, a hundred callers at once."""
        for _ in range(TASKS // 100):
            await asyncio.gather(*(self._dispatcher.dispatch(nothing(n)) for n in range(100)))

    async def bulk(self) -> None:
        """Dispatch, five hundred a call."""
        for _ in range(TASKS // 500):
            await self._dispatcher.dispatch_many([nothing(n) for n in range(500)])

    async def drain(self) -> None:
        """Run what the two have sent."""
        await Worker(self._driver, concurrency=100, max_tasks=2 * TASKS).start()
        await self._driver.connect()  # the worker disconnects it

    async def close(self) -> None:
        """Disconnect."""
        await self._dispatcher.close()


async def calibrate() -> None:
    """Do what a task queue is made of."""
    seen: dict[int, Any] = {}

    async def turn(number: int) -> None:
        packed: bytes = _msgpack.packb((1, "a task", b"its arguments", number, None))
        seen[number % 100] = _msgpack.unpackb(packed)

    for _ in range(TASKS // 100):
        await asyncio.gather(*(turn(number) for number in range(100)))


async def ratios() -> dict[str, float]:
    """Return CPU time per task, in turns of the calibration loop."""
    least: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="async-task-bench-") as folder:
        checks = {
            "memory": Check(driver="memory", memory_name="bench-check"),
            "sqlite": Check(driver="sqlite", sqlite_path=f"{folder}/check.db"),
        }
        steps: list[tuple[str, int, Callable[[], Coroutine[Any, Any, None]]]] = []
        for name, check in checks.items():
            steps += [
                ("calibration", TASKS, calibrate),
                (f"{name}: dispatch, 100 callers", TASKS, check.together),
                (f"{name}: dispatch, 500 a call", TASKS, check.bulk),
                (f"{name}: worker", 2 * TASKS, check.drain),
            ]
        for _ in range(ROUNDS):
            for name, tasks, step in steps:
                gc.collect()
                began = time.process_time()
                await step()
                took = (time.process_time() - began) / tasks
                least[name] = min(took, least.get(name, took))
        for check in checks.values():
            await check.close()
    turn = least.pop("calibration")
    return {name: round(took / turn, 2) for name, took in least.items()}


def main(arguments: list[str]) -> None:
    """Compare, or write a new baseline; exit 1 if something has grown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks check")
    parser.add_argument("--write", action="store_true", help="make what is measured the baseline")
    options = parser.parse_args(arguments)
    if hasattr(os, "sched_setaffinity"):  # or calibration and check might run on unequal cores
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    measured = asyncio.run(ratios())
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    baselines: dict[str, dict[str, float]] = (
        json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    )
    if options.write:
        baselines[version] = measured
        BASELINE.write_text(json.dumps(baselines, indent=1, sort_keys=True) + "\n")
    if version not in baselines:
        sys.exit(f"{BASELINE.name} has nothing for Python {version}; --write adds it")
    grown: list[str] = []
    for name, ratio in measured.items():
        growth = ratio / baselines[version].get(name, ratio)
        print(f"{name:<32} {ratio:6.2f}  {growth:6.0%} of the baseline")
        if growth > TOLERANCE:
            grown.append(f"{name}, {growth:.0%}")
    if grown:
        listed = "; ".join(grown)
        sys.exit(f"more CPU per task than {TOLERANCE:.0%} of the baseline: {listed}")
