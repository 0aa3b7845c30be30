"""What `process=True` gains: CPU-bound tasks two at a time, against one at a time.

    python benchmarks/cpu_processes.py [--tasks 16] [--rounds 5]

Rounds of the two alternate, so that whatever else the machine does meets both. Prints the median
time of each and their ratio: 0.5 is perfect, and 0.6 is what is expected of two idle cores.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time

from async_task import Worker, get_dispatcher, set_global_config, task

LIMIT = 0.6
WORK = 1_500_000
"""Steps of one task: about 0.1 s, so that sending it to a child is no part of what is measured."""

set_global_config(driver="memory", memory_name="cpu-processes")


@task(process=True, result_ttl=600)
def compute(steps: int) -> int:
    """Keep one core busy."""
    total = 0
    for step in range(steps):
        total += step * step
    return total


async def timed(concurrency: int, tasks: int) -> float:
    """Return the seconds that a worker takes for so many tasks, its children already started."""
    worker = Worker(get_dispatcher().driver, concurrency=concurrency)
    working = asyncio.create_task(worker.start())

    async def run(count: int) -> None:
        handles = [await compute.dispatch(WORK) for _ in range(count)]
        await asyncio.gather(*(handle.result() for handle in handles))

    await run(2 * concurrency)
    began = time.perf_counter()
    await run(tasks)
    took = time.perf_counter() - began
    worker.stop()
    await working
    return took


async def main(tasks: int, rounds: int) -> None:
    """Measure and print."""
    times: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for concurrency, took in times.items():
            took.append(await timed(concurrency, tasks))
    one, two = (statistics.median(took) for took in times.values())
    print(f"{tasks} tasks, one at a time: {one:.2f} s; two at a time: {two:.2f} s")
    print(f"ratio {two / one:.2f} (expected of two idle cores: under {LIMIT})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tasks", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    asyncio.run(main(options.tasks, options.rounds))
