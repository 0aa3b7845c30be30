"""PgQueuer, on PostgreSQL through asyncpg; a concurrency of 0 is its default, no bound."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgPoolDriver
from pgqueuer.queries import Queries

from benchmarks.adapters import CONCURRENCY, URL, BaseAdapter, Call
from benchmarks.ledger import mark

if TYPE_CHECKING:
    from collections.abc import Sequence


async def run_noop(job: Any) -> None:
    """Do nothing."""
    mark(json.loads(job.payload)[0])


async def run_pause(job: Any) -> None:
    """Wait."""
    index, seconds = json.loads(job.payload)
    mark(index)
    await asyncio.sleep(seconds)


class Adapter(BaseAdapter):
    """Sends through one pool."""

    concurrent = True

    async def prepare(self) -> None:
        """Make the schema."""
        await self.open()
        await self._queries.install()
        await self.close()

    async def open(self) -> None:
        """Connect."""
        self._pool = await asyncpg.create_pool(URL, min_size=1, max_size=10)
        self._queries = Queries(AsyncpgPoolDriver(self._pool))

    async def close(self) -> None:
        """Disconnect."""
        await self._pool.close()

    async def one(self, call: Call) -> None:
        """Send one."""
        name = "noop" if call.seconds is None else "pause"
        payload = json.dumps([call.number, call.seconds]).encode()
        delay = None if call.delay is None else timedelta(seconds=call.delay)
        await self._queries.enqueue(name, payload, execute_after=delay)

    async def bulk(self, calls: Sequence[Call]) -> None:
        """Send many."""
        name = "noop" if calls[0].seconds is None else "pause"
        payloads = [json.dumps([call.number, call.seconds]).encode() for call in calls]
        delays = [
            timedelta() if call.delay is None else timedelta(seconds=call.delay) for call in calls
        ]
        await self._queries.enqueue([name] * len(calls), payloads, [0] * len(calls), delays)

    def work(self) -> None:
        """Run its worker on uvloop."""

        async def run() -> None:
            pool = await asyncpg.create_pool(URL, min_size=2, max_size=10)
            queuer = PgQueuer(AsyncpgPoolDriver(pool))
            queuer.entrypoint("noop")(run_noop)
            queuer.entrypoint("pause")(run_pause)
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(15, queuer.shutdown.set)
            if CONCURRENCY:
                await queuer.run(batch_size=CONCURRENCY // 2, max_concurrent_tasks=CONCURRENCY)
            else:
                await queuer.run(batch_size=100)

        uvloop.run(run())
