"""Looking at queues as a whole: counting, emptying, reading from the head."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from async_task_rabbitmq.failures import NoQueueError, meaning
from async_task_rabbitmq.wire import Copy, read

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
    from typing import Any

    from aiormq import Channel
    from aiormq.abc import DeliveredMessage

    from async_task_rabbitmq.link import Link
    from async_task_rabbitmq.thread import IoThread

T = TypeVar("T")

_READING_S: Final = 1.0
"""How long messages are waited for that are counted, but that somebody else may have taken."""

_PAGE: Final = 65_535
"""Most that a consumer can ask for."""


@dataclass(slots=True)
class Page:
    """Messages from the head of a queue, held for as long as it is open.

    Attributes:
        copies: The number of each on the channel, and the message, in order.
        removed: Numbers of those that do not go back.
    """

    copies: dict[int, Copy]
    removed: set[int]


class Store:
    """The queues of a driver, by their names in RabbitMQ.

    Args:
        io: Where the connection lives.
        link: The connection; every call takes a channel of its own.
        timeout_s: Bound of one call.
    """

    def __init__(self, io: IoThread, link: Link, timeout_s: float) -> None:
        self._io = io
        self._link = link
        self._timeout_s = timeout_s

    async def run(
        self, what: str, call: Callable[[], Coroutine[Any, Any, T]], *, write: bool = False
    ) -> T:
        """Run a call in the I/O thread, bounded.

        Args:
            what: The call, for messages.
            call: What to run.
            write: It changes something.
        """

        async def bounded() -> T:
            with meaning(what, write=write):
                async with asyncio.timeout(self._timeout_s):
                    return await call()

        return await self._io.run(bounded())

    async def count(self, name: str) -> int:
        """Return how many messages are ready in a queue; none where there is no such queue."""
        async with self._link.fleeting() as channel:
            return await _count(channel, name)

    async def purge(self, names: Sequence[str]) -> int:
        """Delete what is ready in queues; return how many messages that were."""
        count = 0
        for name in names:
            async with self._link.fleeting() as channel:
                with suppress(NoQueueError), meaning("purging"):
                    answer = await channel.queue_purge(name)
                    count += answer.message_count or 0
        return count

    @asynccontextmanager
    async def page(self, name: str, most: int) -> AsyncGenerator[Page]:
        """Hold up to `most` messages from the head; at the end they go back where they were."""
        page = Page({}, set())
        async with self._link.fleeting() as channel:
            wanted = min(await _count(channel, name), most, _PAGE)
            if wanted:
                await _read(channel, name, wanted, page)
            try:
                yield page
            finally:
                if page.copies:
                    await _end(channel, name, page)


async def _count(channel: Channel, name: str) -> int:
    with suppress(NoQueueError), meaning("counting"):
        answer = await channel.queue_declare(name, passive=True)
        return answer.message_count or 0
    return 0


async def _read(channel: Channel, name: str, wanted: int, page: Page) -> None:
    complete = asyncio.Event()

    async def take(message: DeliveredMessage) -> None:
        page.copies[message.delivery_tag or 0] = read(message)[0]
        if len(page.copies) >= wanted:
            complete.set()

    await channel.basic_qos(prefetch_count=wanted)
    consuming = await channel.basic_consume(name, take)
    with suppress(TimeoutError):
        async with asyncio.timeout(_READING_S):
            await complete.wait()
    await channel.basic_cancel(consuming.consumer_tag or "")


async def _end(channel: Channel, name: str, page: Page) -> None:
    """Remove some messages, put the rest back, and wait until that is done."""
    for tag in page.removed:
        await channel.basic_ack(tag, wait=False)
    kept = len(page.copies) - len(page.removed)
    if kept:
        await channel.basic_nack(max(page.copies), multiple=True, requeue=True, wait=False)
    # A quorum queue answers before it has done what was asked of it without a reply.
    with suppress(TimeoutError):
        async with asyncio.timeout(_READING_S):
            while await _count(channel, name) < kept:  # noqa: ASYNC110 - RabbitMQ's, not ours
                await asyncio.sleep(0.001)
