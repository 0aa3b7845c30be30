"""The msgpack document inside a message's body.

Layout, version 1 - an array, so that a header costs half a microsecond to read:

    [version, task name, arguments, dispatched at (Unix ms), retry delay (ms) or nil]

`arguments` is an opaque byte string (see `async_task.serialization`): listing and routing read the
header without touching what a user passed. Readers of version 1 ignore further elements, so that
a newer writer may add some; a change that old readers must not ignore raises the version.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from async_task.errors import DecodeError, UnknownTaskError
from async_task.serialization.plain import UNREADABLE, pack_plain, unpack_plain

VERSION: Final = 1
LATEST_MS: Final = 253_402_300_799_999
"""The end of the year 9999, the last that a datetime can say."""


@dataclass(slots=True)
class Envelope:
    """What a message says about its task.

    Attributes:
        task: The task's name.
        arguments: Its arguments, encoded.
        dispatched_at_ms: When it was dispatched, Unix milliseconds of the dispatcher's clock.
        retry_delay_ms: What the caller chose over the task's own delay, if anything.
    """

    task: str
    arguments: bytes
    dispatched_at_ms: int
    retry_delay_ms: int | None = None

    def pack(self) -> bytes:
        """Return the body."""
        return pack_plain(
            (VERSION, self.task, self.arguments, self.dispatched_at_ms, self.retry_delay_ms)
        )


def unpack(body: bytes) -> Envelope:
    """Read a body.

    Raises:
        UnknownTaskError: It is a newer version; another worker may know it.
        DecodeError: It is not an envelope.
    """
    try:
        read = unpack_plain(body)
        if not isinstance(read, list):  # of a byte string, too, the first element is a number
            raise TypeError(f"{type(read).__name__} instead of an array")
        fields: list[Any] = read  # pyright: ignore[reportUnknownVariableType] - mypy narrows
        version = fields[0]
        if type(version) is int and version > VERSION:
            raise UnknownTaskError(f"envelope version {version} is newer than {VERSION}")
        _, task, arguments, dispatched_at_ms, retry_delay_ms = fields[:5]
    except UNREADABLE as exc:
        raise DecodeError(f"not an envelope: {type(exc).__name__}: {exc}"[:200]) from exc
    if (
        version != VERSION
        or type(task) is not str
        or type(arguments) is not bytes
        or type(dispatched_at_ms) is not int
        or not 0 <= dispatched_at_ms <= LATEST_MS
        or not (retry_delay_ms is None or (type(retry_delay_ms) is int and retry_delay_ms >= 0))
    ):
        raise DecodeError("not an envelope: its fields are not what they should be")
    return Envelope(task, arguments, dispatched_at_ms, retry_delay_ms)
