"""A contender's side of the benchmark: a process in its environment that sends tasks, or works.

    python -m benchmarks.side ADAPTER send      orders come as lines of JSON on standard input
    python -m benchmarks.side ADAPTER work      a worker, where the library has no command for one

Every order is answered by a line of JSON on standard output, which nothing else reaches: what the
libraries print goes to standard error.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import resource
import sys
import time
from typing import TYPE_CHECKING, Any, Final, TextIO

from benchmarks.adapters import BaseAdapter, Call
from benchmarks.ledger import sent

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

TOGETHER: Final = 100
"""Callers at once in `together`."""
AT_ONCE: Final = 500
"""Tasks of one call in `bulk`."""


async def one(adapter: BaseAdapter, calls: Sequence[Call]) -> None:
    """Send one after the other."""
    for call in calls:
        await adapter.one(call)


async def together(adapter: BaseAdapter, calls: Sequence[Call]) -> None:
    """Send a hundred at a time, each by a caller of its own."""
    if not adapter.concurrent:
        raise NotImplementedError
    for start in range(0, len(calls), TOGETHER):
        await asyncio.gather(*(adapter.one(call) for call in calls[start : start + TOGETHER]))


async def bulk(adapter: BaseAdapter, calls: Sequence[Call]) -> None:
    """Send five hundred a call."""
    for start in range(0, len(calls), AT_ONCE):
        await adapter.bulk(calls[start : start + AT_ONCE])


async def quickest(adapter: BaseAdapter, calls: Sequence[Call]) -> None:
    """Send in the way that takes least."""
    if type(adapter).bulk is not BaseAdapter.bulk:
        await bulk(adapter, calls)
    else:
        await (together if adapter.concurrent else one)(adapter, calls)


async def paced(adapter: BaseAdapter, calls: Sequence[Call], *, every_s: float, burst: int) -> None:
    """Send a burst at every tick, and note for each task when it was about to be sent."""
    began = time.monotonic()
    for tick, start in enumerate(range(0, len(calls), burst)):
        await asyncio.sleep(began + tick * every_s - time.monotonic())
        now = calls[start : start + burst]
        if adapter.concurrent:
            for call in now:
                sent(call.number)
            await asyncio.gather(*map(adapter.one, now))
        else:
            for call in now:
                sent(call.number)
                await adapter.one(call)


WAYS: Final[dict[str, Callable[[BaseAdapter, Sequence[Call]], Coroutine[Any, Any, None]]]] = {
    "one": one,
    "together": together,
    "bulk": bulk,
    "quickest": quickest,
}


async def obey(adapter: BaseAdapter, order: dict[str, Any]) -> dict[str, float]:
    """Do one order and say what it took."""
    do: str = order["do"]
    if do in ("prepare", "open", "close"):
        await getattr(adapter, do)()
        return {}
    start, count, seconds, delay = (order.get(k) for k in ("start", "count", "seconds", "delay"))
    assert isinstance(start, int)
    assert isinstance(count, int)
    rss, cpu_s, wall_s = _peak_rss(), 0.0, 0.0
    # A chunk of calls at a time, made outside of what is timed: a producer of a million holds no
    # list of a million.
    chunk = count if do == "paced" else 10 * AT_ONCE
    for first in range(start, start + count, chunk):
        last = min(first + chunk, start + count)
        calls = [Call(index, seconds, delay) for index in range(first, last)]
        began = time.process_time(), time.perf_counter()
        if do == "paced":
            await paced(adapter, calls, every_s=order["every_s"], burst=order["burst"])
        else:
            await WAYS[do](adapter, calls)
        cpu_s += time.process_time() - began[0]
        wall_s += time.perf_counter() - began[1]
    return {"cpu_s": cpu_s, "wall_s": wall_s, "grown_mib": _peak_rss() - rss}


async def obey_all(adapter: BaseAdapter, answers: TextIO) -> None:
    """Do what standard input says, in one task: what a library opens in one it may close in."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        try:
            answer = json.dumps(await obey(adapter, json.loads(line)))
        except NotImplementedError:
            answer = "null"
        answers.write(answer + "\n")


def _peak_rss() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return that of uvloop where it is installed."""
    try:
        uvloop: Any = importlib.import_module("uvloop")
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def main(name: str, what: str) -> None:
    """Work, or obey until standard input ends."""
    module = importlib.import_module(f"benchmarks.adapters.{name}")
    adapter: BaseAdapter = module.Adapter()
    if what == "work":
        adapter.work()
        return
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(obey_all(adapter, answers))


if __name__ == "__main__":
    main(*sys.argv[1:])
