"""The driver: Amazon SQS as a store of queues."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from async_task.spi.capabilities import Delay
from async_task.spi.driver import BaseDriver
from async_task.spi.errors import (
    DriverError,
    MessageTooLargeError,
    UnsupportedError,
)
from async_task.spi.messages import QueueStats
from async_task.spi.partial import enqueue_error

from async_task_sqs.client import SqsClient
from async_task_sqs.consumer import SqsConsumer
from async_task_sqs.dead_letters import SqsDeadLetters
from async_task_sqs.failures import NoQueueError
from async_task_sqs.held import Held
from async_task_sqs.keeper import SqsKeeper
from async_task_sqs.limits import DELAY_S, RESERVED_BYTES
from async_task_sqs.plugin import CAPABILITIES
from async_task_sqs.polls import LONGEST_POLL_S, Polls
from async_task_sqs.queues import Queues
from async_task_sqs.sending import Parcel, Sender
from async_task_sqs.store import Store
from async_task_sqs.wire import Copy

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from async_task.spi.driver import ConsumerOptions, DriverOptions
    from async_task.spi.messages import Message

    from async_task_sqs.settings import SqsSettings


class SqsDriver(BaseDriver):
    """A store on queues of SQS, standard ones or FIFO ones.

    Args:
        settings: Where they are and who asks.
        options: Namespace (a prefix of the queues' names) and the bound of a call.
        hop_s: Longest delay of one copy of a message; shorter for tests only.
        poll_s: Longest that one receive call waits, up to 20.
    """

    def __init__(
        self,
        settings: SqsSettings,
        options: DriverOptions,
        *,
        hop_s: int = DELAY_S,
        poll_s: int = LONGEST_POLL_S,
    ) -> None:
        self.capabilities = replace(
            CAPABILITIES,
            max_body=settings.max_message_bytes - RESERVED_BYTES,
            delay=Delay.NONE if settings.fifo else CAPABILITIES.delay,
        )
        self._settings = settings
        self._op_timeout_s = options.op_timeout_ms / 1000
        self._poll_s = poll_s
        self._held = Held()
        self._queues = Queues(options.namespace, settings)
        self._sender = Sender(self._queues, settings.max_message_bytes, hop_s)
        self._client = self._make_client()
        self._consuming: set[Polls] = set()
        self._store = Store(self._client, self._queues, self._sender, self._op_timeout_s)
        self.dead_letters = SqsDeadLetters(self._store)

    async def open(self) -> None:
        """Prepare the client, and check that SQS is there and takes our credentials.

        Raises:
            ConfigurationError: The region or the endpoint cannot be.
            AccessDeniedError: There are no credentials, or SQS does not take them.
            DriverError: It cannot be reached.
        """
        await self._client.open()
        try:
            await self.ping()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Drop all connections but the keeper's; what waits on them fails."""
        for polls in [*self._consuming]:
            await polls.cancel()
        await self._client.close()

    async def ping(self) -> None:
        """Ask for the address of a queue; that there is none is an answer too."""
        with suppress(NoQueueError):
            await self._client.call("get_queue_url", "a ping", QueueName=self._queues.name("ping"))

    async def provision(self, queues: Sequence[str]) -> None:
        """Make sure that the queues and those of their dead letters exist.

        Raises:
            DriverError: One does not, and `sqs_create_queues` is off.
        """
        await self._queues.provision(self._client, queues)

    async def enqueue(self, messages: Sequence[Message]) -> Sequence[int]:
        """Send messages, ten a call, all calls at once.

        Returns:
            Nothing: SQS does not tell what it has already.

        Raises:
            UnsupportedError: One has a delay, and the queues are FIFO; nothing was sent.
            EnqueueError: Some were not stored, or perhaps not.
        """
        self._check_delays(messages)
        most = self.capabilities.max_body or 0
        failures: dict[int, DriverError] = {
            at: MessageTooLargeError(
                f"a body of {len(each.body)} bytes for queue {each.queue!r} exceeds {most}, what "
                "sqs_max_message_bytes leaves for it"
            )
            for at, each in enumerate(messages)
            if len(each.body) > most
        }
        fitting = [at for at in range(len(messages)) if at not in failures]
        outcomes = await self._sender.send(self._client, [_parcel(messages[at]) for at in fitting])
        sent = zip(fitting, outcomes, strict=True)
        failures.update({at: error for at, error in sent if error is not None})
        if failures:
            raise enqueue_error(failures, len(messages))
        return ()

    @asynccontextmanager
    async def consumer(self, options: ConsumerOptions) -> AsyncGenerator[SqsConsumer]:
        """Yield what takes messages, with a client of its own.

        Leaving it waits for the receive calls under way, 5 s at most, and gives back what they
        bring.
        """
        client = self._make_client()
        await client.open()
        polls = Polls(client, self._queues, self._sender)
        self._consuming.add(polls)
        try:
            consumer = SqsConsumer(client, polls, self._sender, self._held, self._poll_s)
            try:
                yield consumer
            finally:
                await asyncio.gather(
                    consumer.settled(self._op_timeout_s), polls.end(self._op_timeout_s)
                )
        finally:
            self._consuming.discard(polls)
            await client.close()

    @asynccontextmanager
    async def keeper(self) -> AsyncGenerator[SqsKeeper]:
        """Yield what renews leases, with a client of its own."""
        client = self._make_client()
        await client.open()
        try:
            yield SqsKeeper(client, self._held)
        finally:
            await client.close()

    async def maintain(self) -> None:
        """Forget leases that were lost; SQS reclaims by itself."""
        self._held.tidy()

    async def stats(self, queues: Sequence[str]) -> Sequence[QueueStats]:
        """Count queues, about; two calls for each, however long they are."""
        return await asyncio.gather(*map(self._count, queues))

    async def purge(self, queue: str) -> int:
        """Delete what is ready in a queue, ten a call; what is delayed cannot be reached."""
        return await self._store.drain(queue)

    def _check_delays(self, messages: Sequence[Message]) -> None:
        for each in messages if self._settings.fifo else ():
            if each.delay_ms:
                raise UnsupportedError(
                    f"a message for queue {each.queue!r} is to wait {each.delay_ms} ms, but a FIFO "
                    "queue of SQS takes no delays; leave it out, or set sqs_fifo=False",
                    capability="delay",
                    driver="sqs",
                )

    async def _count(self, queue: str) -> QueueStats:
        ready = delayed = held = dead = 0
        url = await self._queues.find(self._client, queue)
        if url is not None:
            ready, delayed, held = await self._store.counts(url)
        url = await self._queues.find(self._client, queue, dead=True)
        if url is not None:
            dead = sum(await self._store.counts(url))
        return QueueStats(queue, ready, delayed, held, dead, None)

    def _make_client(self) -> SqsClient:
        return SqsClient(self._settings, self._op_timeout_s, self._queues.gone)


def _parcel(message: Message) -> Parcel:
    copy = Copy(message.id, message.body, expires_in_ms=message.expires_in_ms)
    return Parcel(message.queue, copy, message.delay_ms)
