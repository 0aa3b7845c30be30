"""Declaring what messages need: once for each process, and again when something was deleted."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from async_task.spi.errors import DriverError

from async_task_rabbitmq.failures import NoQueueError, meaning

if TYPE_CHECKING:
    from aiormq import Channel

    from async_task_rabbitmq.ladder import Ladder, Route
    from async_task_rabbitmq.link import Link
    from async_task_rabbitmq.names import Names

ARGUMENTS: Final[dict[str, Any]] = {
    "x-queue-type": "quorum",
    # RabbitMQ 4 would drop a message after 20 returns; core decides when it is enough, after 10.
    "x-delivery-limit": 1_000_000,
}
"""What every queue is declared with; another process that said otherwise would be refused."""


class Topology:
    """The exchanges, queues and bindings of one driver.

    Args:
        link: Where it is declared.
        names: What the queues are called.
        ladder: What delays are made of.
        passive: Look whether everything is there, and declare nothing.
    """

    def __init__(self, link: Link, names: Names, ladder: Ladder, *, passive: bool) -> None:
        self._link = link
        self._names = names
        self._ladder = ladder
        self._passive = passive
        self._queues: set[str] = set()
        self._rungs: set[int] = set()
        self._top = -1
        self._declaring = asyncio.Lock()

    async def ensure(self, queue: str) -> None:
        """Make sure that the queues of all its levels are there, and that of its dead letters."""
        if queue in self._queues:
            return
        async with self._declaring:
            if queue in self._queues:
                return
            what = f"declaring queue {queue!r}"
            async with self._link.fleeting() as channel:
                with meaning(what):
                    await self._exchange(channel, self._ladder.exchange)
                for name in self._names.all(queue):
                    await self._queue(channel, name, ARGUMENTS, what)
                    await self._bind(channel, name, f"#.{name}", self._ladder.exchange, what)
            self._queues.add(queue)

    async def ensure_way(self, route: Route) -> None:
        """Make sure that the exchanges and rungs are there that a delayed message passes."""
        if self._leads(route):
            return
        async with self._declaring:
            if self._leads(route):
                return
            what = "declaring what delays are made of"
            ladder = self._ladder
            async with self._link.fleeting() as channel:
                for rung in range(self._top + 1, route.top + 1):
                    exchange, below = ladder.below(rung + 1), ladder.below(rung)
                    with meaning(what):
                        await self._exchange(channel, exchange)
                        if not self._passive:
                            key = ladder.binding(rung, 0)
                            await channel.exchange_bind(below, exchange, key)
                    self._top = rung
                for rung in set(route.rungs) - self._rungs:
                    name = ladder.queue(rung)
                    await self._queue(channel, name, ladder.arguments(rung), what)
                    key = ladder.binding(rung, 1)
                    await self._bind(channel, name, key, ladder.below(rung + 1), what)
                    self._rungs.add(rung)

    def _leads(self, route: Route) -> bool:
        return route.top <= self._top and self._rungs.issuperset(route.rungs)

    def forget(self) -> None:
        """Take nothing for granted any more: something was found missing."""
        self._queues.clear()
        self._rungs.clear()
        self._top = -1

    async def _exchange(self, channel: Channel, name: str) -> None:
        await channel.exchange_declare(
            name, exchange_type="topic", durable=True, passive=self._passive
        )

    async def _queue(
        self, channel: Channel, name: str, arguments: dict[str, Any], what: str
    ) -> None:
        try:
            with meaning(what):
                await channel.queue_declare(
                    name, durable=True, passive=self._passive, arguments=arguments
                )
        except NoQueueError as error:
            raise DriverError(
                f"RabbitMQ has no queue {name!r}, and rabbitmq_passive forbids to declare it; let "
                f"a process that may declare it do so, durable and with the arguments {arguments}"
            ) from error

    async def _bind(self, channel: Channel, name: str, key: str, exchange: str, what: str) -> None:
        if not self._passive:
            with meaning(what):
                await channel.queue_bind(name, exchange, key)
