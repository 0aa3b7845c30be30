"""Procrastinate, on PostgreSQL: finished jobs are deleted."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import uvloop
from procrastinate import App, PsycopgConnector

from benchmarks.adapters import CONCURRENCY, QUEUE, URL, BaseAdapter, Call
from benchmarks.ledger import mark

if TYPE_CHECKING:
    from collections.abc import Sequence

app = App(connector=PsycopgConnector(conninfo=URL, max_size=20))


async def run_noop(index: int) -> None:
    """Do nothing."""
    mark(index)


async def run_pause(index: int, seconds: float) -> None:
    """Wait."""
    mark(index)
    await asyncio.sleep(seconds)


noop: Any = app.task(queue=QUEUE, name="noop")(run_noop)
pause: Any = app.task(queue=QUEUE, name="pause")(run_pause)


def arguments(call: Call) -> dict[str, Any]:
    """Return the arguments of a task."""
    return {"index": call.number} | ({} if call.seconds is None else {"seconds": call.seconds})


class Adapter(BaseAdapter):
    """Sends through one app."""

    concurrent = True

    async def prepare(self) -> None:
        """Make the schema."""
        async with app.open_async():
            await app.schema_manager.apply_schema_async()

    async def open(self) -> None:
        """Connect."""
        await app.open_async()

    async def close(self) -> None:
        """Disconnect."""
        await app.close_async()

    async def one(self, call: Call) -> None:
        """Send one."""
        task = noop if call.seconds is None else pause
        if call.delay is not None:
            task = task.configure(schedule_in={"milliseconds": int(call.delay * 1000)})
        await task.defer_async(**arguments(call))

    async def bulk(self, calls: Sequence[Call]) -> None:
        """Send many."""
        task = noop if calls[0].seconds is None else pause
        if calls[0].delay is not None:
            task = task.configure(schedule_in={"milliseconds": int(calls[0].delay * 1000)})
        await task.batch_defer_async(*map(arguments, calls))

    def work(self) -> None:
        """Run its worker on uvloop."""

        async def run() -> None:
            async with app.open_async():
                await app.run_worker_async(
                    concurrency=CONCURRENCY, delete_jobs="always", listen_notify=True
                )

        uvloop.run(run())
