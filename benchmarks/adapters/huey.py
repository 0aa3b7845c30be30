"""Huey, on Redis or SQLite: no results. It takes a task off the queue before it runs."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.adapters import QUEUE, URL, BaseAdapter, Call
from benchmarks.ledger import mark

app: Any
if URL.startswith("sqlite"):
    from huey import SqliteHuey

    # The durability of our driver's default; Huey's own is synchronous=NORMAL.
    app = SqliteHuey(QUEUE, filename=URL.removeprefix("sqlite:///"), results=False, fsync=True)
else:
    from huey import RedisHuey
    from redis import ConnectionPool

    # A hundred threads take all of the default pool and would leave the scheduler none.
    pool = ConnectionPool.from_url(URL, max_connections=200)
    app = RedisHuey(QUEUE, connection_pool=pool, results=False)


def run_noop(index: int) -> None:
    """Do nothing."""
    mark(index)


def run_pause(index: int, seconds: float) -> None:
    """Wait."""
    mark(index)
    time.sleep(seconds)


noop = app.task(name="noop")(run_noop)
pause = app.task(name="pause")(run_pause)


class Adapter(BaseAdapter):
    """Sends through the storage."""

    async def one(self, call: Call) -> None:
        """Send one."""
        task, args = (noop, (call.number,)) if call.seconds is None else (pause, call[:2])
        if call.delay is None:
            task(*args)
        else:
            task.schedule(args=args, delay=call.delay)
