"""Group commit: concurrent calls share round trips without waiting for one another.

What arrives while a call is in flight goes out together in the next one. A lone item goes out at
once: nothing waits for company. The task that does the sending belongs to the batcher, so a caller
that is cancelled takes nobody along.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from async_task.errors import DriverError, EnqueueError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_task.spi.driver import Driver
    from async_task.spi.messages import Message


MAX_MESSAGES: Final = 1000
"""Most messages in one call; keeps a backend's script or statement short."""
MAX_BYTES: Final = 8 * 1024 * 1024
"""Most body bytes in one call, unless a single message is larger."""


class EnqueueBatcher:
    """Sends messages through `enqueue`, many at a time. Belongs to one running loop."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._waiting: list[tuple[Message, asyncio.Future[None]]] = []
        self._sender: asyncio.Task[None] | None = None
        self._scheduled = False

    async def submit(self, message: Message) -> None:
        """Store one message; raises what storing it raised.

        Cancelled before the message went out, it is withdrawn; after that it may be stored.
        """
        await self._add(message)

    async def submit_many(self, messages: Sequence[Message]) -> list[DriverError | None]:
        """Store messages; returns the outcome of each, aligned."""
        futures = [self._add(message) for message in messages]
        outcomes = await asyncio.gather(*futures, return_exceptions=True)
        errors: list[DriverError | None] = []
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not isinstance(outcome, DriverError):
                raise outcome
            errors.append(outcome)
        return errors

    async def drain(self) -> None:
        """Wait until everything submitted has gone out."""
        while self._waiting or self._sender is not None:
            await asyncio.sleep(0)
            if self._sender is not None:
                await asyncio.wait([self._sender])

    def _add(self, message: Message) -> asyncio.Future[None]:
        # One future per caller: a shared one would die with the first cancelled caller.
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.append((message, future))
        if self._sender is None and not self._scheduled:
            # One turn of the loop later, or a gather of 100 would split into 1 and 99.
            self._scheduled = True
            loop.call_soon(self._start)
        return future

    def _start(self) -> None:
        self._scheduled = False
        self._sender = asyncio.get_running_loop().create_task(self._send_all())

    async def _send_all(self) -> None:
        try:
            while self._waiting:
                batch = self._take()
                if batch:
                    await self._send(batch)
        finally:
            self._sender = None
            if self._waiting:  # cancelled with the loop: nobody will send these
                for _, future in self._waiting:
                    future.cancel()
                self._waiting.clear()

    def _take(self) -> list[tuple[Message, asyncio.Future[None]]]:
        batch: list[tuple[Message, asyncio.Future[None]]] = []
        size = taken = 0
        most = min(self._driver.capabilities.max_batch or MAX_MESSAGES, MAX_MESSAGES)
        for message, future in self._waiting:
            size += len(message.body)
            if len(batch) == most or (batch and size > MAX_BYTES):
                break
            taken += 1
            if not future.done():  # withdrawn by its caller
                batch.append((message, future))
        del self._waiting[:taken]
        return batch

    async def _send(self, batch: list[tuple[Message, asyncio.Future[None]]]) -> None:
        failures: dict[int, BaseException] = {}
        try:
            await self._driver.enqueue([message for message, _ in batch])
        except EnqueueError as exc:
            failures.update(exc.failures)
        except asyncio.CancelledError:
            for _, future in batch:
                future.cancel()
            raise
        except Exception as exc:
            failures = dict.fromkeys(range(len(batch)), exc)
        for position, (_, future) in enumerate(batch):
            if future.done():
                continue
            failure = failures.get(position)
            if failure is None:
                future.set_result(None)
            else:
                future.set_exception(failure)
