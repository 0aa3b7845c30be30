"""Dramatiq, on Redis or RabbitMQ, no results."""

from __future__ import annotations

import time
from typing import Any

import dramatiq

from benchmarks.adapters import URL, BaseAdapter, Call
from benchmarks.ledger import mark

broker: Any
if URL.startswith("amqp"):
    from dramatiq.brokers.rabbitmq import RabbitmqBroker

    broker = RabbitmqBroker(url=URL, confirm_delivery=True)
else:
    from dramatiq.brokers.redis import RedisBroker

    broker = RedisBroker(url=URL)
dramatiq.set_broker(broker)


def run_noop(index: int) -> None:
    """Do nothing."""
    mark(index)


def run_pause(index: int, seconds: float) -> None:
    """Wait."""
    mark(index)
    time.sleep(seconds)


noop = dramatiq.actor(run_noop, actor_name="noop")
pause = dramatiq.actor(run_pause, actor_name="pause")


class Adapter(BaseAdapter):
    """Sends through the broker."""

    async def one(self, call: Call) -> None:
        """Send one."""
        actor, args = (noop, (call.number,)) if call.seconds is None else (pause, call[:2])
        if call.delay is None:
            actor.send(*args)
        else:
            actor.send_with_options(args=args, delay=int(call.delay * 1000))
