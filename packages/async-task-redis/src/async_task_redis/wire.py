"""Many calls on one connection of redis-py: commands out, replies in, in order.

Calls of any number of tasks share it. A caller that is cancelled leaves its reply to be read and
dropped, so the next caller gets its own; a reply that does not come in time ends the connection,
since nothing behind it can come either.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, cast

from async_task.spi.errors import ConnectionLostError, OutcomeUnknownError
from redis.connection import HiredisRespSerializer
from redis.exceptions import RedisError

from async_task_redis.failures import REFUSALS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Reply: TypeAlias = Any
"""What redis-py makes of a reply: bytes, int, list, `None`, or one of `REFUSALS`."""

Command: TypeAlias = "tuple[bytes | str | int | float, ...]"
"""One command and its arguments."""

_FAREWELL_S: Final = 0.5
"""How long a TLS connection may take to say goodbye; a plain one takes none."""


class Stream(Protocol):
    """What is used of redis-py's connections, which are typed in parts only."""

    async def connect(self) -> None:
        """Connect and introduce ourselves."""

    async def disconnect(self, nowait: bool = ...) -> None:
        """Close the socket, without waiting for it if told so."""

    async def send_packed_command(self, command: Iterable[bytes], check_health: bool = ...) -> None:
        """Send pieces; its own PING would not wait for replies of others."""

    async def read_response(
        self, disable_decoding: bool = ..., *, disconnect_on_error: bool = ...
    ) -> Reply:
        """Return the next reply, or raise it."""
        ...


# In C; that of the asyncio connection is Python, and takes as long as all the rest of an enqueue.
_pack = cast("Callable[..., list[bytes]]", HiredisRespSerializer().pack)


@dataclass(slots=True, eq=False)
class _Call:
    answer: asyncio.Future[list[Reply]]
    packed: list[bytes]
    replies: int
    deadline: float
    received: list[Reply] = field(default_factory=list)


class Wire:
    """A connected stream that one task writes and one task reads.

    Args:
        stream: Connected, and used by nobody else.
        name: Where it leads, for messages.
    """

    def __init__(self, stream: Stream, name: str) -> None:
        self._stream = stream
        self._name = name
        self._loop = asyncio.get_running_loop()
        self._unsent: list[_Call] = []
        self._sent: deque[_Call] = deque()
        self._due = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._lost: str | None = None
        self._on_lost: Callable[[], None] | None = None
        self.on_push: Callable[[Reply], None] | None = None
        """Takes replies that no call waits for: messages of a subscription."""
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._write())]

    @property
    def lost(self) -> bool:
        """Whether it has ended; it does not come back."""
        return self._lost is not None

    def when_lost(self, callback: Callable[[], None]) -> None:
        """Have `callback` called once, when the connection has ended; at once if it has."""
        if self._lost is not None:
            callback()
        else:
            self._on_lost = callback

    async def call(self, commands: Sequence[Command], *, deadline: float) -> list[Reply]:
        """Send commands in one piece and return their replies; errors are among them.

        Args:
            commands: At least one.
            deadline: On the loop's clock.

        Raises:
            ConnectionLostError: It ended before they were sent, or the server takes no more.
            OutcomeUnknownError: They were sent, and the connection ended, or the time.
        """
        return await self._send(commands, deadline, expected=True).answer

    def push(self, command: Command) -> None:
        """Send a command whose replies go to `on_push`.

        Raises:
            ConnectionLostError: The connection has ended.
        """
        self._send([command], 0, expected=False)

    def end(self, reason: str) -> None:
        """Drop the connection at once; what is waited for becomes unknown."""
        if self._lost is not None:
            return
        self._lost = reason
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        self._tasks.append(asyncio.create_task(self._stream.disconnect()))
        said = f"{self._name} {reason}; "
        for call in self._sent:
            if not call.answer.done():
                call.answer.set_exception(OutcomeUnknownError(said + "it may have been done"))
        for call in self._unsent:
            if not call.answer.done():
                call.answer.set_exception(ConnectionLostError(said + "nothing was sent"))
        if self._on_lost is not None:
            self._on_lost()

    async def closed(self) -> None:
        """Wait until the socket is closed, after `end`, but not for a silent server."""
        await asyncio.wait(self._tasks, timeout=_FAREWELL_S)

    def _send(self, commands: Sequence[Command], deadline: float, *, expected: bool) -> _Call:
        if self._lost is not None:
            raise ConnectionLostError(f"{self._name} {self._lost}")
        packed = [part for command in commands for part in _pack(*command)]
        replies = len(commands) if expected else 0
        call = _Call(self._loop.create_future(), packed, replies, deadline)
        self._unsent.append(call)
        self._due.set()
        if expected and self._timer is None:
            self._timer = self._loop.call_at(deadline, self._check)
        return call

    async def _write(self) -> None:
        try:
            while True:
                await self._due.wait()
                self._due.clear()
                calls = [call for call in self._unsent if not call.answer.cancelled()]
                self._unsent.clear()
                self._sent.extend(call for call in calls if call.replies)
                packed = [part for call in calls for part in call.packed]
                await self._stream.send_packed_command(packed, check_health=False)
        except RedisError as error:
            self.end(f"takes no commands ({error})")

    async def _read(self) -> None:
        try:
            while True:
                try:
                    reply = await self._stream.read_response(
                        disable_decoding=True, disconnect_on_error=False
                    )
                except REFUSALS as error:
                    reply = error
                self._take(reply)
        except RedisError as error:
            self.end(f"closed the connection ({error})")

    def _take(self, reply: Reply) -> None:
        if not self._sent:
            if self.on_push is not None:
                self.on_push(reply)
                return
            self.end(f"said what nobody asked for: {reply!r}"[:200])
            return
        call = self._sent[0]
        call.received.append(reply)
        if len(call.received) == call.replies:
            self._sent.popleft()
            if not call.answer.done():  # cancelled
                call.answer.set_result(call.received)

    def _check(self) -> None:
        # Deadlines of one connection come in order but for calls that wait on the server's side,
        # which have a connection of their own.
        self._timer = None
        waiting = next((call for call in (*self._sent, *self._unsent) if call.replies), None)
        if waiting is not None:
            if waiting.deadline > self._loop.time():
                self._timer = self._loop.call_at(waiting.deadline, self._check)
            else:
                self.end("does not answer in time")
