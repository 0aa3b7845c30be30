"""Publishing messages and awaiting RabbitMQ's confirmation of each."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aiormq.exceptions import DeliveryError, PublishError
from async_task.spi.errors import DriverError, OutcomeUnknownError

from async_task_rabbitmq.failures import NoQueueError, meaning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiormq import Channel

    from async_task_rabbitmq.ladder import Ladder, Route
    from async_task_rabbitmq.link import Link
    from async_task_rabbitmq.names import Names
    from async_task_rabbitmq.topology import Topology
    from async_task_rabbitmq.wire import Copy


@dataclass(slots=True)
class Parcel:
    """A copy of a message, and where it goes."""

    queue: str
    copy: Copy
    delay_ms: int = 0
    dead: bool = False


class Publisher:
    """One channel for everything a process publishes.

    It has a connection of its own: one that publishes is not read from while RabbitMQ runs out of
    memory or disk, and acknowledgements, which make room again, must not be stuck behind.

    Args:
        link: That connection.
        names: What the queues are called.
        ladder: What delays are made of.
        topology: What declares both.
        timeout_s: Bound of one call.
    """

    def __init__(
        self, link: Link, names: Names, ladder: Ladder, topology: Topology, timeout_s: float
    ) -> None:
        self._link = link
        self._names = names
        self._ladder = ladder
        self._topology = topology
        self._timeout_s = timeout_s
        self._opening = asyncio.Lock()
        self._opened: Channel | None = None

    async def send(
        self, parcels: Sequence[Parcel], *, bounded: bool = True
    ) -> list[DriverError | None]:
        """Publish parcels all at once; return what went wrong with each, aligned.

        `None` means that RabbitMQ has confirmed it, `OutcomeUnknownError` that it may be stored,
        any other error that it is not.

        Args:
            parcels: Any number.
            bounded: Give up after the bound of a call; else only when the connection is lost.
        """
        tasks = [asyncio.create_task(self._send(parcel)) for parcel in parcels]
        if tasks:
            await asyncio.wait(tasks, timeout=self._timeout_s if bounded else None)
        return [self._outcome(task) for task in tasks]

    def _outcome(self, task: asyncio.Task[None]) -> DriverError | None:
        if not task.done():
            task.cancel()
            return OutcomeUnknownError(
                f"RabbitMQ did not confirm a message within {self._timeout_s:g} s; it does not "
                "while it is short of memory or disk"
            )
        try:
            task.result()
        except DriverError as error:
            return error
        return None

    async def _send(self, parcel: Parcel) -> None:
        names, copy = self._names, parcel.copy
        queue = parcel.queue
        name = names.dead(queue) if parcel.dead else names.level(queue, copy.priority)
        route = self._ladder.route(name, parcel.delay_ms)
        await self._topology.ensure(queue)
        await self._topology.ensure_way(route)
        if route.rest_ms != copy.wait_ms:
            copy = replace(copy, wait_ms=route.rest_ms)
        await self._publish(await self._channel(), route, copy)

    async def _publish(self, channel: Channel, route: Route, copy: Copy) -> None:
        try:
            with meaning("publishing", write=True):
                await channel.basic_publish(
                    copy.body,
                    exchange=route.exchange,
                    routing_key=route.key,
                    properties=copy.properties(),
                    mandatory=True,
                    wait=False,
                )
        except DriverError as error:
            raise self._meant(error, route) from error.__cause__

    def _meant(self, error: DriverError, route: Route) -> DriverError:
        cause = error.__cause__
        if isinstance(cause, PublishError):
            self._topology.forget()
            return DriverError(
                f"RabbitMQ gave a message for {route.key!r} back: the queue is gone; the next "
                "attempt makes it again",
                retryable=True,
            )
        if isinstance(cause, DeliveryError):
            return DriverError(f"RabbitMQ refused a message for {route.key!r}", retryable=True)
        if isinstance(error, NoQueueError):
            # The exchange is gone. That closed the channel, with messages that may have passed.
            self._topology.forget()
            return OutcomeUnknownError(f"the exchange {route.exchange!r} is gone; it is made again")
        return error

    async def _channel(self) -> Channel:
        async with self._opening:
            if self._opened is None or self._opened.is_closed:
                self._opened = await self._link.channel(confirms=True)
            return self._opened
