"""Group commit: concurrent calls share round trips without waiting for one another.

What arrives while a call is in flight goes out together in the next one. A lone item goes out at
once: nothing waits for company. The task that does the sending belongs to the batcher, so a caller
that is cancelled takes nobody along.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from async_task.errors import DriverError, EnqueueError

if TYPE_CHECKING:
    from async_task.spi.driver import Driver
    from async_task.spi.messages import Message


MAX_MESSAGES: Final = 1000
"""Most messages in one call; keeps a backend's script or statement short."""
MAX_BYTES: Final = 8 * 1024 * 1024
"""Most body bytes in one call, unless a single message is larger."""

_Failures: TypeAlias = Mapping[int, BaseException]
"""By position, why messages were not stored."""


@dataclass(slots=True, eq=False)
class _Group:
    """Messages of one caller that go out in one call."""

    messages: Sequence[Message]
    size: int
    stored: asyncio.Future[_Failures]


class EnqueueBatcher:
    """Sends messages through `enqueue`, many at a time. Belongs to one running loop."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._waiting: list[_Group] = []
        self._sender: asyncio.Task[None] | None = None

    async def submit(self, message: Message) -> None:
        """Store one message; raises what storing it raised.

        Cancelled before the message went out, it is withdrawn; after that it may be stored.
        """
        failures = await self._add([message], len(message.body))
        if failures:
            raise failures[0]

    async def submit_many(self, messages: Sequence[Message]) -> list[DriverError | None]:
        """Store messages; returns the outcome of each, aligned."""
        futures: list[asyncio.Future[_Failures]] = []
        lengths: list[int] = []
        for group, size in self._groups(messages):
            futures.append(self._add(group, size))
            lengths.append(len(group))
        errors: list[DriverError | None] = []
        for length, failures in zip(lengths, await asyncio.gather(*futures), strict=True):
            for position in range(length):
                error = failures.get(position)
                if error is not None and not isinstance(error, DriverError):
                    raise error
                errors.append(error)
        return errors

    async def drain(self) -> None:
        """Wait until everything submitted has gone out."""
        while self._sender is not None and not self._sender.done():
            await asyncio.wait([self._sender])

    @property
    def _most(self) -> int:
        return min(self._driver.capabilities.max_batch or MAX_MESSAGES, MAX_MESSAGES)

    def _groups(self, messages: Sequence[Message]) -> list[tuple[list[Message], int]]:
        """Return messages as those of as few calls as may be, and how many bytes each has."""
        most = self._most
        groups: list[tuple[list[Message], int]] = []
        group: list[Message] = []
        size = 0
        for message in messages:
            length = len(message.body)
            if group and (len(group) == most or size + length > MAX_BYTES):
                groups.append((group, size))
                group, size = [], 0
            group.append(message)
            size += length
        if group:
            groups.append((group, size))
        return groups

    def _add(self, messages: Sequence[Message], size: int) -> asyncio.Future[_Failures]:
        # One future per caller: a shared one would die with the first cancelled caller.
        loop = asyncio.get_running_loop()
        stored: asyncio.Future[_Failures] = loop.create_future()
        self._waiting.append(_Group(messages, size, stored))
        if self._sender is None or self._sender.done():
            # It begins in the next turn of the loop, when all hundred of a gather have added.
            self._sender = loop.create_task(self._send_all())
        return stored

    async def _send_all(self) -> None:
        try:
            while self._waiting:
                batch = self._take()
                if batch:
                    await self._send(batch)
        finally:  # where it is cancelled with the loop, nobody will send the rest
            for group in self._waiting:
                group.stored.cancel()
            self._waiting.clear()

    def _take(self) -> list[_Group]:
        batch: list[_Group] = []
        count = size = taken = 0
        most = self._most
        for group in self._waiting:
            count += len(group.messages)
            size += group.size
            if batch and (count > most or size > MAX_BYTES):
                break
            taken += 1
            if group.stored.done():  # withdrawn by its caller
                count -= len(group.messages)
                size -= group.size
            else:
                batch.append(group)
        del self._waiting[:taken]
        return batch

    async def _send(self, batch: list[_Group]) -> None:
        messages = [message for group in batch for message in group.messages]
        failures: _Failures = {}
        try:
            await self._driver.enqueue(messages)
        except EnqueueError as exc:
            failures = exc.failures
        except asyncio.CancelledError:
            for group in batch:
                group.stored.cancel()
            raise
        except Exception as exc:
            failures = dict.fromkeys(range(len(messages)), exc)
        first = 0
        for group in batch:
            after = first + len(group.messages)
            if not group.stored.done():
                failed = failures.keys() & range(first, after) if failures else ()
                group.stored.set_result({at - first: failures[at] for at in failed})
            first = after
