"""Arq, on Redis: no results; it polls, here every 10 ms instead of every 500."""

from __future__ import annotations

import asyncio
from typing import Any

import uvloop
from arq import create_pool
from arq.connections import ArqRedis, RedisSettings
from arq.worker import func, run_worker

from benchmarks.adapters import CONCURRENCY, URL, BaseAdapter, Call
from benchmarks.ledger import mark

SETTINGS = RedisSettings.from_dsn(URL)


async def noop(_context: dict[str, Any], index: int) -> None:
    """Do nothing."""
    mark(index)


async def pause(_context: dict[str, Any], index: int, seconds: float) -> None:
    """Wait."""
    mark(index)
    await asyncio.sleep(seconds)


class WorkerSettings:
    """What its command reads."""

    functions = [func(noop, name="noop", keep_result=0), func(pause, name="pause", keep_result=0)]  # noqa: RUF012 - as arq documents it
    redis_settings = SETTINGS
    max_jobs = CONCURRENCY
    poll_delay = 0.01
    keep_result = 0


class Adapter(BaseAdapter):
    """Sends through one pool."""

    concurrent = True
    _pool: ArqRedis

    async def open(self) -> None:
        """Connect."""
        self._pool = await create_pool(SETTINGS)

    async def close(self) -> None:
        """Disconnect."""
        await self._pool.aclose()

    async def one(self, call: Call) -> None:
        """Send one."""
        if call.seconds is None:
            await self._pool.enqueue_job("noop", call.number, _defer_by=call.delay)
        else:
            await self._pool.enqueue_job("pause", call.number, call.seconds, _defer_by=call.delay)

    def work(self) -> None:
        """Run its worker on uvloop."""
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
        asyncio.set_event_loop(asyncio.new_event_loop())
        run_worker(WorkerSettings)
