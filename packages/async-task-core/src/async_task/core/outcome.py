"""How a task ended, as it is kept for whoever asks.

Layout, version 1: [version, kind, encoded result or nil, failure or nil, reason or nil], where a
failure is [type, message, traceback, attempt, Unix ms]. A failure is text: no class of the task's
process is needed to read it, and none is made from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from async_task.core.history import Failure
from async_task.errors import DecodeError
from async_task.serialization.plain import UNREADABLE, pack_plain, unpack_plain

VERSION: Final = 1


class TaskStatus(StrEnum):
    """Where a task is, or how it ended."""

    READY = "ready"
    """Waiting for a worker."""
    DELAYED = "delayed"
    """Waiting for its time."""
    RUNNING = "running"
    """Held by a worker."""
    DONE = "done"
    """Finished, and its result is kept."""
    FAILED = "failed"
    """Given up on; its failure is kept, or it is among the dead letters, or both."""
    CANCELLED = "cancelled"
    """Cancelled, and that is kept."""
    UNKNOWN = "unknown"
    """Finished and not kept, or never heard of."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a task ended.

    Attributes:
        status: DONE, FAILED or CANCELLED.
        value: The encoded result of a task that is done.
        failure: The last failure of one that failed.
        reason: The `DeadReason` of one that failed.
    """

    status: TaskStatus
    value: bytes | None = None
    failure: Failure | None = None
    reason: str | None = None

    def pack(self) -> bytes:
        """Return it as bytes."""
        f = self.failure
        failure = None if f is None else [f.type, f.message, f.traceback, f.attempt, f.at_ms]
        return pack_plain([VERSION, self.status.value, self.value, failure, self.reason])

    @classmethod
    def unpack(cls, body: bytes) -> Outcome:
        """Read what `pack` wrote.

        Raises:
            DecodeError: It is something else.
        """
        try:
            fields: Any = unpack_plain(body)
            version, status, value, failure, reason = fields[:5]
            if version != VERSION:
                msg = f"a result of version {version}, this reads {VERSION}"
                raise DecodeError(msg)
            return cls(
                TaskStatus(status), value, None if failure is None else Failure(*failure), reason
            )
        except UNREADABLE as exc:
            msg = f"not a stored result: {exc}"
            raise DecodeError(msg[:200]) from exc
