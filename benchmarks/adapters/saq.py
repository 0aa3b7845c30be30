"""SAQ, on Redis or PostgreSQL: no results; a lost task is tried again."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import uvloop
from saq import Queue, Worker

from benchmarks.adapters import CONCURRENCY, QUEUE, URL, BaseAdapter, Call
from benchmarks.ledger import mark

KEPT = {"retries": 3, "ttl": -1, "timeout": 0}


async def noop(_context: Any, *, index: int) -> None:
    """Do nothing."""
    mark(index)


async def pause(_context: Any, *, index: int, seconds: float) -> None:
    """Wait."""
    mark(index)
    await asyncio.sleep(seconds)


class Adapter(BaseAdapter):
    """Sends through one queue."""

    concurrent = True

    def __init__(self) -> None:
        self._queue = Queue.from_url(URL, name=QUEUE)

    async def open(self) -> None:
        """Connect, which makes the schema too."""
        await self._queue.connect()

    async def close(self) -> None:
        """Disconnect."""
        await self._queue.disconnect()

    async def one(self, call: Call) -> None:
        """Send one; a delay is in whole seconds."""
        options: dict[str, Any] = dict(KEPT)
        if call.delay is not None:
            options["scheduled"] = round(time.time() + call.delay)
        if call.seconds is None:
            await self._queue.enqueue("noop", index=call.number, **options)
        else:
            await self._queue.enqueue("pause", index=call.number, seconds=call.seconds, **options)

    def work(self) -> None:
        """Run its worker on uvloop."""

        async def run() -> None:
            await self._queue.connect()
            tasks = [("noop", noop), ("pause", pause)]
            await Worker(self._queue, functions=tasks, concurrency=CONCURRENCY).start()

        uvloop.run(run())
