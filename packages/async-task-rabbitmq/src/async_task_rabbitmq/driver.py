"""The driver: RabbitMQ as a store of queues."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from async_task.spi.driver import BaseDriver
from async_task.spi.errors import (
    DriverError,
    MessageTooLargeError,
)
from async_task.spi.messages import QueueStats
from async_task.spi.partial import enqueue_error

from async_task_rabbitmq.consumer import RabbitmqConsumer
from async_task_rabbitmq.dead_letters import RabbitmqDeadLetters
from async_task_rabbitmq.keeper import RabbitmqKeeper
from async_task_rabbitmq.ladder import RUNGS, UNIT_MS, Ladder
from async_task_rabbitmq.limits import MESSAGE_BYTES
from async_task_rabbitmq.link import Link
from async_task_rabbitmq.names import Names
from async_task_rabbitmq.plugin import CAPABILITIES
from async_task_rabbitmq.publisher import Parcel, Publisher
from async_task_rabbitmq.store import Store
from async_task_rabbitmq.thread import IoThread
from async_task_rabbitmq.topology import Topology
from async_task_rabbitmq.wire import Copy

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from async_task.spi.driver import ConsumerOptions, DriverOptions
    from async_task.spi.messages import Message

    from async_task_rabbitmq.settings import RabbitmqSettings


class RabbitmqDriver(BaseDriver):
    """A store on quorum queues of RabbitMQ.

    It has one connection for what it publishes, one for looking at queues, and one for each
    consumer. All of them live in one thread beside the caller's, from `open` to `close`.

    Args:
        settings: Where RabbitMQ is and how it is used.
        options: Namespace (a prefix of the queues' names) and the bound of a call.
        unit_ms: What the lowest rung of the delays holds; less for tests only.
        rungs: How many rungs there are; fewer for tests only.
    """

    def __init__(
        self,
        settings: RabbitmqSettings,
        options: DriverOptions,
        *,
        unit_ms: int = UNIT_MS,
        rungs: int = RUNGS,
    ) -> None:
        longest_s = settings.consumer_timeout_seconds
        self.capabilities = replace(
            CAPABILITIES, max_visibility_ms=longest_s * 1000 if longest_s else None
        )
        self._settings = settings
        self._timeout_s = options.op_timeout_ms / 1000
        self._names = Names(options.namespace)
        self._ladder = Ladder(settings.exchange_name, unit_ms, rungs)
        self._assemble()

    def _assemble(self) -> None:
        """Make what belongs to one life of the thread."""
        self._io = IoThread()
        self._looking = self._link("looks")
        self._publishing = self._link("publishes")
        self._topology = Topology(
            self._looking, self._names, self._ladder, passive=self._settings.passive
        )
        self._publisher = Publisher(
            self._publishing, self._names, self._ladder, self._topology, self._timeout_s
        )
        self._store = Store(self._io, self._looking, self._timeout_s)
        self._consumers: set[RabbitmqConsumer] = set()
        self.dead_letters = RabbitmqDeadLetters(self._store, self._names, self._publisher)

    async def open(self) -> None:
        """Connect, and check that the server is new enough and takes our credentials.

        Raises:
            ConfigurationError: It is too old, or has no such virtual host.
            AccessDeniedError: It does not take user and password.
            DriverError: It cannot be reached.
        """
        self._io.start()
        try:
            await self._store.run("connecting", self._looking.connect)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close all connections and end the thread; what is leased goes back at once."""

        async def close() -> None:
            for consumer in [*self._consumers]:
                await consumer.close()
            await self._publishing.close()
            await self._looking.close()

        if self._io.running:
            io = self._io
            await io.run(close())
            self._assemble()
            await io.stop()

    async def ping(self) -> None:
        """Open and close a channel."""
        await self._store.run("a ping", self._ping)

    async def provision(self, queues: Sequence[str]) -> None:
        """Make sure that the queues of all levels and those of the dead letters exist.

        Raises:
            DriverError: One does not, and `rabbitmq_passive` is on; or there is another of its
                name.
        """

        async def ensure() -> None:
            for queue in queues:
                await self._topology.ensure(queue)

        await self._store.run("declaring queues", ensure)

    async def enqueue(self, messages: Sequence[Message]) -> Sequence[int]:
        """Publish messages, all at once, and await every confirmation.

        Returns:
            Nothing: RabbitMQ does not know what it has already.
        """
        failures: dict[int, DriverError] = {
            at: MessageTooLargeError(
                f"a body of {len(each.body)} bytes for queue {each.queue!r} exceeds "
                f"{MESSAGE_BYTES}, what RabbitMQ takes by default"
            )
            for at, each in enumerate(messages)
            if len(each.body) > MESSAGE_BYTES
        }
        fitting = [at for at in range(len(messages)) if at not in failures]
        parcels = [_parcel(messages[at]) for at in fitting]
        outcomes = await self._io.run(self._publisher.send(parcels))
        sent = zip(fitting, outcomes, strict=True)
        failures.update({at: error for at, error in sent if error is not None})
        if failures:
            raise enqueue_error(failures, len(messages))
        return ()

    @asynccontextmanager
    async def consumer(self, options: ConsumerOptions) -> AsyncGenerator[RabbitmqConsumer]:
        """Yield what takes messages, with a connection of its own.

        Leaving it closes that, and so gives everything back that is still leased.
        """
        link = self._link(f"consumes {', '.join(options.queues)}"[:200])
        io = self._io
        consumer = RabbitmqConsumer(
            io,
            link,
            self._names,
            self._topology,
            self._publisher,
            timeout_s=self._timeout_s,
            prefetch=self._settings.prefetch_count,
        )
        await self._store.run("connecting", link.connect)
        self._consumers.add(consumer)
        try:
            yield consumer
        finally:
            self._consumers.discard(consumer)
            if io.running:
                await io.run(consumer.close())

    @asynccontextmanager
    async def keeper(self) -> AsyncGenerator[RabbitmqKeeper]:
        """Yield what extends leases; it asks the I/O thread, not RabbitMQ."""
        yield RabbitmqKeeper(self._io, self._consumers)

    async def maintain(self) -> None:
        """Forget leases that were lost; RabbitMQ gives them to others by itself."""
        for consumer in self._consumers:
            consumer.tidy()

    async def stats(self, queues: Sequence[str]) -> Sequence[QueueStats]:
        """Count what is ready and what is dead; of the rest RabbitMQ does not tell.

        Costs three round trips for each queue.
        """

        async def count() -> list[QueueStats]:
            return [await self._count(queue) for queue in queues]

        return await self._store.run("counting queues", count)

    async def purge(self, queue: str) -> int:
        """Delete what is ready in a queue; what is delayed cannot be reached."""
        names = self._names.levels(queue)
        return await self._store.run("purging", lambda: self._store.purge(names), write=True)

    async def _ping(self) -> None:
        async with self._looking.fleeting():
            pass

    async def _count(self, queue: str) -> QueueStats:
        ready = sum([await self._store.count(name) for name in self._names.levels(queue)])
        dead = await self._store.count(self._names.dead(queue))
        return QueueStats(queue, ready, None, None, dead, None)

    def _link(self, role: str) -> Link:
        return Link(self._settings.url, role, self._timeout_s)


def _parcel(message: Message) -> Parcel:
    expires_in_ms = message.expires_in_ms
    expires_at_ms = None if expires_in_ms is None else int(time.time() * 1000) + expires_in_ms
    copy = Copy(message.id, message.body, priority=message.priority, expires_at_ms=expires_at_ms)
    return Parcel(message.queue, copy, message.delay_ms)
