"""RQ, on Redis: no results, no fork per task."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from redis import Redis
from rq import Queue

from benchmarks.adapters import QUEUE, URL, BaseAdapter, Call
from benchmarks.ledger import mark

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

queue = Queue(QUEUE, connection=Redis.from_url(URL))


def noop(index: int) -> None:
    """Do nothing."""
    mark(index)


def pause(index: int, seconds: float) -> None:
    """Wait."""
    mark(index)
    time.sleep(seconds)


def called(call: Call) -> tuple[Callable[..., None], tuple[Any, ...]]:
    """Return a task and its arguments."""
    return (noop, (call.number,)) if call.seconds is None else (pause, call[:2])


class Adapter(BaseAdapter):
    """Sends through one queue."""

    async def one(self, call: Call) -> None:
        """Send one."""
        function, args = called(call)
        if call.delay is None:
            queue.enqueue_call(function, args, result_ttl=0)
        else:
            queue.enqueue_in(timedelta(seconds=call.delay), function, *args, result_ttl=0)

    async def bulk(self, calls: Sequence[Call]) -> None:
        """Send many in one pipeline."""
        if calls[0].delay is not None:
            raise NotImplementedError
        queue.enqueue_many([Queue.prepare_data(*called(call), result_ttl=0) for call in calls])
