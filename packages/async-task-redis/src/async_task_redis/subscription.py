"""Hearing that results have come, on a connection of its own."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from async_task.spi.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from async_task_redis.client import Client
    from async_task_redis.wire import Reply, Wire


class Listener:
    """One call that waits for results; compared by identity."""

    def __init__(self, channels: frozenset[bytes]) -> None:
        self.channels = channels
        self.heard = asyncio.Event()


class Subscription:
    """The channels that this process listens to: those of all calls that wait.

    What a call has waited for stays subscribed until the next one waits, since that mostly asks
    for the same again. While the connection is lost, calls look from time to time.

    Args:
        client: Used for nothing else: a connection that is subscribed takes no other commands.
        op_timeout_s: How long connecting may take.
    """

    def __init__(self, client: Client, op_timeout_s: float) -> None:
        self._client = client
        self._op_timeout_s = op_timeout_s
        self._listeners: set[Listener] = set()
        self._subscribed: set[bytes] = set()
        self._wire: Wire | None = None

    def listen(self, channels: Iterable[bytes]) -> Listener:
        """Begin to wait for one of these channels."""
        listener = Listener(frozenset(channels))
        self._listeners.add(listener)
        return listener

    def forget(self, listener: Listener) -> None:
        """Stop waiting."""
        self._listeners.discard(listener)

    async def wait(self, listener: Listener, seconds: float) -> None:
        """Wait until there is something to look for, at most so long.

        That is a message, or the beginning of a subscription: what came before it was not heard.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                with contextlib.suppress(DriverError):
                    await self._subscribe()
                await listener.heard.wait()

    def open(self) -> None:
        """Let calls connect."""
        self._client.open()

    async def close(self) -> None:
        """Let go of the connection."""
        await self._client.close()

    async def _subscribe(self) -> None:
        deadline = asyncio.get_running_loop().time() + self._op_timeout_s
        wire = await self._client.anywhere(deadline)
        if wire is not self._wire:
            self._wire, self._subscribed = wire, set()
            wire.on_push = self._hear
        wanted = {channel for each in self._listeners for channel in each.channels}
        if fresh := wanted - self._subscribed:
            wire.push(("SUBSCRIBE", *fresh))
        if stale := self._subscribed - wanted:
            wire.push(("UNSUBSCRIBE", *stale))
        self._subscribed = wanted

    def _hear(self, reply: Reply) -> None:
        if isinstance(reply, list) and reply[0] in (b"message", b"subscribe"):
            for listener in self._listeners:
                if reply[1] in listener.channels:
                    listener.heard.set()
