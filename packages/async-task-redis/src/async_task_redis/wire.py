"""One connection: commands out, replies in, in order.

Calls of any number of tasks share it. A caller that is cancelled leaves its reply to be read and
dropped, so the next caller gets its own; a reply that does not come in time ends the connection,
since nothing behind it can come either.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import hiredis
from async_task.spi.errors import ConnectionLostError, DriverTimeoutError, OutcomeUnknownError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Reply: TypeAlias = Any
"""What hiredis makes of a reply: bytes, int, list, `None`, or a `ReplyError`."""

Command: TypeAlias = "tuple[bytes | str | int | float, ...]"
"""One command and its arguments."""

_INCOMPLETE: Final = object()

# Its stub takes commands of one word only.
pack = cast("Callable[[Command], bytes]", cast("Any", hiredis).pack_command)


class ReplyError(Exception):
    """An error that the server replied with; returned, not raised."""

    @property
    def code(self) -> str:
        """Its first word, such as `OOM`; also of an error inside a script on Redis 6.2."""
        text = str(self)
        if text.startswith("ERR Error running script"):
            _, _, text = text.rpartition(": -")
        return text.partition(" ")[0]


@dataclass(slots=True)
class _Call:
    answer: asyncio.Future[list[Reply]]
    replies: int
    deadline: float
    received: list[Reply] = field(default_factory=list)


class Wire(asyncio.Protocol):
    """A connected stream that speaks RESP2; made by a `create_connection`.

    Args:
        name: Where it leads, for messages.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(replyError=ReplyError, notEnoughData=_INCOMPLETE)
        self._transport: asyncio.Transport | None = None
        self._calls: deque[_Call] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._lost: str | None = None
        self.on_push: Callable[[Reply], None] | None = None
        """Takes replies that no call waits for: messages of a subscription."""
        self._on_lost: Callable[[], None] | None = None

    @property
    def lost(self) -> bool:
        """Whether it has ended, or is about to; it does not come back."""
        closing = self._transport is not None and self._transport.is_closing()
        return closing or self._lost is not None

    def when_lost(self, callback: Callable[[], None]) -> None:
        """Have `callback` called once, when the connection has ended; at once if it has."""
        if self._lost is not None:
            callback()
        else:
            self._on_lost = callback

    async def call(self, commands: Iterable[Command], *, deadline: float) -> list[Reply]:
        """Send commands in one piece and return their replies; errors are among them.

        Args:
            commands: At least one.
            deadline: On the loop's clock.

        Raises:
            ConnectionLostError: It had ended before.
            DriverTimeoutError: The server takes no more; nothing was sent.
            OutcomeUnknownError: They were sent, and the connection ended, or the time.
        """
        packed = [pack(command) for command in commands]
        if not self._writable.is_set():
            await self._until_writable(deadline)
        self._write(b"".join(packed))
        call = _Call(self._loop.create_future(), len(packed), deadline)
        self._calls.append(call)
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._check)
        return await call.answer

    def push(self, command: Command) -> None:
        """Send a command whose replies go to `on_push`.

        Raises:
            ConnectionLostError: The connection has ended.
        """
        self._write(pack(command))

    def end(self, reason: str) -> None:
        """Drop the connection at once; what is waited for becomes unknown."""
        self._fail(reason)
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Hand out the replies that are complete."""
        reader = self._reader
        reader.feed(data)
        try:
            while (reply := reader.gets()) is not _INCOMPLETE:
                self._take(reply)
        except hiredis.ProtocolError as error:
            self.end(f"does not speak Redis ({error})")

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell everybody who waits."""
        self._fail(f"closed the connection ({exc})" if exc else "closed the connection")

    def pause_writing(self) -> None:
        """Let callers wait: the server does not read."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Let callers go on."""
        self._writable.set()

    def _take(self, reply: Reply) -> None:
        if not self._calls:
            if self.on_push is not None:
                self.on_push(reply)
                return
            self.end(f"said what nobody asked for: {reply!r}"[:200])
            return
        call = self._calls[0]
        call.received.append(reply)
        if len(call.received) == call.replies:
            self._calls.popleft()
            if not call.answer.done():  # cancelled
                call.answer.set_result(call.received)

    async def _until_writable(self, deadline: float) -> None:
        try:
            async with asyncio.timeout_at(deadline):
                await self._writable.wait()
        except TimeoutError:
            raise DriverTimeoutError(f"{self._name} takes no commands; nothing was sent") from None

    def _write(self, data: bytes) -> None:
        if self._lost is not None or self._transport is None or self._transport.is_closing():
            raise ConnectionLostError(f"{self._name} {self._lost or 'is closing'}")
        self._transport.write(data)

    def _check(self) -> None:
        # Deadlines of one connection come in order but for calls that wait on the server's side,
        # which have a connection of their own.
        self._timer = None
        if self._calls:
            deadline = self._calls[0].deadline
            if deadline > self._loop.time():
                self._timer = self._loop.call_at(deadline, self._check)
            else:
                self.end("does not answer in time")

    def _fail(self, reason: str) -> None:
        if self._lost is not None:
            return
        self._lost = reason
        self._writable.set()
        if self._timer is not None:
            self._timer.cancel()
        calls, self._calls = self._calls, deque()
        said = f"{self._name} {reason}; the call may have been carried out"
        for call in calls:
            if not call.answer.done():
                call.answer.set_exception(OutcomeUnknownError(said))
        if self._on_lost is not None:
            self._on_lost()
