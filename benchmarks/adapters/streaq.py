"""Streaq, on Redis streams: no results."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from streaq import Worker

from benchmarks.adapters import CONCURRENCY, QUEUE, URL, BaseAdapter, Call
from benchmarks.ledger import mark

if TYPE_CHECKING:
    from collections.abc import Sequence

worker: Any = Worker(
    redis_url=URL,
    concurrency=CONCURRENCY,
    queue_name=QUEUE,
    anyio_kwargs={"use_uvloop": True},
)


async def run_noop(index: int) -> None:
    """Do nothing."""
    mark(index)


async def run_pause(index: int, seconds: float) -> None:
    """Wait."""
    mark(index)
    await asyncio.sleep(seconds)


noop = worker.task(ttl=0, timeout=None, name="noop", silent=True)(run_noop)
pause = worker.task(ttl=0, timeout=None, name="pause", silent=True)(run_pause)


def called(call: Call) -> Any:
    """Return the task, not yet sent."""
    made = (
        noop.enqueue(call.number)
        if call.seconds is None
        else pause.enqueue(call.number, call.seconds)
    )
    return made if call.delay is None else made.start(delay=timedelta(seconds=call.delay))


class Adapter(BaseAdapter):
    """Sends through the worker object."""

    concurrent = True

    async def open(self) -> None:
        """Connect."""
        self._stack = AsyncExitStack()
        await self._stack.enter_async_context(worker)

    async def close(self) -> None:
        """Disconnect."""
        await self._stack.aclose()

    async def one(self, call: Call) -> None:
        """Send one."""
        await called(call)

    async def bulk(self, calls: Sequence[Call]) -> None:
        """Send many."""
        await worker.enqueue_many([called(call) for call in calls])

    def work(self) -> None:
        """Run its worker."""
        worker.run_sync()
