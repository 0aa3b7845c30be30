"""Core's memory of a message between deliveries, kept by the store as opaque `state`."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from async_task.serialization.plain import UNREADABLE, pack_plain, unpack_plain

if TYPE_CHECKING:
    from types import TracebackType

MAX_BYTES: Final = 4096
"""Largest `state` a driver has to keep (delivery contract)."""

_KEPT_ERRORS: Final = 10
_TEXT: Final = 300
_TRACEBACK: Final = 1500


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed run, as text: no class of the application is needed to read it.

    Attributes:
        type: Qualified name of the exception's class.
        message: Its text, shortened.
        traceback: The innermost frames, shortened; only the latest failures keep it.
        attempt: Which run it was, 0 for the first.
        at_ms: When, Unix milliseconds of the worker's clock. For display.
    """

    type: str
    message: str
    traceback: str
    attempt: int
    at_ms: int

    @classmethod
    def of(cls, error: BaseException, *, attempt: int, at_ms: int) -> Failure:
        """Describe an exception."""
        kind = type(error)
        name = kind.__qualname__ if kind.__module__ == "builtins" else _qualified(kind)
        frames = error.__traceback__
        while frames is not None and _ours(frames):
            frames = frames.tb_next
        lines = "".join(traceback.format_exception(kind, error, frames, limit=-8))
        return cls(name, _text_of(error)[:_TEXT], lines[-_TRACEBACK:], attempt, at_ms)


@dataclass(frozen=True, slots=True)
class History:
    """What a message has been through.

    Attributes:
        failures: Runs that raised or timed out.
        solo_crashes: Runs alone that took their process down.
        unknown_ms: How long workers that did not know the task have put it off.
        errors: The latest failures, oldest first.
    """

    failures: int = 0
    solo_crashes: int = 0
    unknown_ms: int = 0
    errors: tuple[Failure, ...] = field(default=())

    def failed(self, failure: Failure) -> History:
        """Return it with one more failure."""
        return replace(
            self,
            failures=self.failures + 1,
            unknown_ms=0,
            errors=(*self.errors, failure)[-_KEPT_ERRORS:],
        )

    def noted(self, failure: Failure) -> History:
        """Return it with an error that is not charged as a failure."""
        return replace(self, errors=(*self.errors, failure)[-_KEPT_ERRORS:])

    def crashed_alone(self, failure: Failure) -> History:
        """Return it with one more crash in a process of its own."""
        return replace(self.noted(failure), solo_crashes=self.solo_crashes + 1)

    def put_off(self, delay_ms: int) -> History:
        """Return it with `delay_ms` more of being unknown."""
        return replace(self, unknown_ms=self.unknown_ms + delay_ms)

    def requeued(self) -> History:
        """Return it with its counters at zero and its errors kept."""
        return History(errors=self.errors)

    def pack(self) -> bytes:
        """Return at most `MAX_BYTES` bytes; older tracebacks go first, then older errors."""
        if self == _EMPTY:
            return b""
        errors = list(self.errors)
        for i in range(len(errors) - 1):
            errors[i] = replace(errors[i], traceback="")
        packed = self._packed(errors)
        while len(packed) > MAX_BYTES and len(errors) > 1:
            del errors[0]
            packed = self._packed(errors)
        if len(packed) > MAX_BYTES and errors:
            last = errors[-1]
            errors = [replace(last, type=last.type[-_TEXT:], message=last.message, traceback="")]
            packed = self._packed(errors)
        return packed

    def _packed(self, errors: list[Failure]) -> bytes:
        rows = [[e.type, e.message, e.traceback, e.attempt, e.at_ms] for e in errors]
        fields = [1, self.failures, self.solo_crashes, self.unknown_ms, rows]
        return pack_plain(fields)

    @classmethod
    def unpack(cls, state: bytes) -> History:
        """Read what `pack` wrote; anything else reads as nothing known, never as an error.

        Losing a count is better than losing a task to a store that mangled it.
        """
        if not state:
            return _EMPTY
        try:
            fields: list[Any] = unpack_plain(state)
            errors = tuple(Failure(*map(_checked, _KINDS, row)) for row in fields[4])
            failures, solo_crashes, unknown_ms = (_checked(int, count) for count in fields[1:4])
            return cls(failures, solo_crashes, unknown_ms, errors)
        except UNREADABLE:
            return _EMPTY


_EMPTY = History()
_KINDS = (str, str, str, int, int)


def _ours(frames: TracebackType) -> bool:
    """Say whether the outermost frame is the worker's, which says nothing about the task."""
    module = str(frames.tb_frame.f_globals.get("__name__"))
    return module.startswith("async_task.runtime.")


def _text_of(error: BaseException) -> str:
    try:
        # Lone surrogates, as in file names, would break whoever writes the text as UTF-8.
        return str(error).encode("utf-8", "backslashreplace").decode()
    except Exception as exc:
        return f"(its text cannot be had: {type(exc).__name__})"


def _checked(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise TypeError(kind)
    return value


def _qualified(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
