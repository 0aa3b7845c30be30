"""Celery, on Redis or RabbitMQ: acknowledged late, no results."""

from __future__ import annotations

import time

from celery import Celery

from benchmarks.adapters import URL, BaseAdapter, Call
from benchmarks.ledger import mark

app = Celery("bench", broker=URL)
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=64,
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
    broker_pool_limit=10,
)


def run_noop(index: int) -> None:
    """Do nothing."""
    mark(index)


def run_pause(index: int, seconds: float) -> None:
    """Wait; under gevent this lets others run."""
    mark(index)
    time.sleep(seconds)


noop = app.task(run_noop, name="noop")
pause = app.task(run_pause, name="pause")


class Adapter(BaseAdapter):
    """Sends through the default connection pool."""

    async def one(self, call: Call) -> None:
        """Send one."""
        if call.seconds is None:
            noop.apply_async((call.number,), countdown=call.delay)
        else:
            pause.apply_async((call.number, call.seconds), countdown=call.delay)
