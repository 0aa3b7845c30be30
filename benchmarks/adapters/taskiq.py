"""Taskiq, on Redis streams or RabbitMQ: acknowledged when executed, no results."""

from __future__ import annotations

import asyncio
from typing import Any

from benchmarks.adapters import URL, BaseAdapter, Call
from benchmarks.ledger import mark

broker: Any
if URL.startswith("amqp"):
    from taskiq_aio_pika import AioPikaBroker

    broker = AioPikaBroker(URL, qos=200)
else:
    from taskiq_redis import RedisStreamBroker

    # From the beginning of the stream: tasks sent before the first worker count too.
    broker = RedisStreamBroker(URL, xread_count=100, consumer_id="0")


async def run_noop(index: int) -> None:
    """Do nothing."""
    mark(index)


async def run_pause(index: int, seconds: float) -> None:
    """Wait."""
    mark(index)
    await asyncio.sleep(seconds)


noop = broker.register_task(run_noop, task_name="noop")
pause = broker.register_task(run_pause, task_name="pause")


class Adapter(BaseAdapter):
    """Sends through the broker; delayed tasks would need its scheduler."""

    concurrent = True

    async def open(self) -> None:
        """Connect."""
        await broker.startup()

    async def close(self) -> None:
        """Disconnect."""
        await broker.shutdown()

    async def one(self, call: Call) -> None:
        """Send one."""
        if call.delay is not None:
            raise NotImplementedError
        if call.seconds is None:
            await noop.kiq(call.number)
        else:
            await pause.kiq(call.number, call.seconds)
