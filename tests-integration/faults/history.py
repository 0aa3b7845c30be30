"""The history of a scenario: one line per event, each appended by a single write.

It needs no store and survives `kill -9`: what a task did before its process died is on record.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class Kind(StrEnum):
    """What happened."""

    ACCEPTED = "accepted"
    """Dispatch returned; `at_ns` is from before the call, `value` the instant it is due."""
    START = "start"
    DONE = "done"
    FAILED = "failed"
    """The handler raised."""
    RELEASED = "released"
    """The handler asked to be put back."""
    CANCELLED = "cancelled"
    """The worker cancelled the handler."""
    CRASHED = "crashed"
    """The handler is about to end its own process."""
    MOURNED = "mourned"
    """The task's `failed` ran to its end."""

    KILLED = "killed"
    """The process is dead, by kill -9 or its own hand, for `value` nanoseconds at most."""
    STOPPED = "stopped"
    CONTINUED = "continued"
    STALLED = "stalled"
    """The process did not get to run for `value` nanoseconds until now: the machine is busy."""
    TERMINATED = "terminated"
    """SIGTERM is about to be sent."""
    DOUBLED = "doubled"
    """The store may hand the task out once more: it has two, or did not end or renew a lease."""
    DOWN = "down"
    """The store is about to go away, for everybody."""
    UP = "up"


@dataclass(frozen=True, slots=True)
class Event:
    """One line.

    Attributes:
        kind: What happened.
        at_ns: When, nanoseconds of the boot-time clock: one clock for all processes of a machine.
        pid: The worker process it happened in or to; 0 for none.
        task_id: The task's id, `-` for none.
        deliveries: How often the task had been handed out, this time included.
        attempt: How many of its runs had failed.
        value: See `Kind`.
    """

    kind: Kind
    at_ns: int
    pid: int = 0
    task_id: str = "-"
    deliveries: int = 0
    attempt: int = 0
    value: int = 0

    def line(self) -> bytes:
        what = f"{self.kind} {self.at_ns} {self.pid} {self.task_id}"
        return f"{what} {self.deliveries} {self.attempt} {self.value}\n".encode()

    @classmethod
    def parse(cls, line: str) -> Event:
        kind, at_ns, pid, task_id, *numbers = line.split(" ")
        return cls(Kind(kind), int(at_ns), int(pid), task_id, *map(int, numbers))


def now_ns() -> int:
    """Return the instant all events are stamped with."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class History:
    """A history file: any number of processes append to it, one reads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC)
        self._read_to = 0
        self._events: list[Event] = []

    def append(self, *events: Event) -> None:
        """Write events; each of them, or all given at once, by one write."""
        os.write(self._file, b"".join(event.line() for event in events))

    def record(self, kind: Kind, *, pid: int = 0) -> None:
        """Write an event that happens now."""
        self.append(Event(kind, now_ns(), pid))

    def died(self, pid: int, *, since_ns: int) -> None:
        """Write that a process is dead; it was not yet at `since_ns`.

        Others may have its tasks before this is written: a broker gives them on at once.
        """
        at_ns = now_ns()
        self.append(Event(Kind.KILLED, at_ns, pid, value=at_ns - since_ns))

    def events(self, *kinds: Kind) -> list[Event]:
        """Return what was written so far, of these kinds or of all."""
        while data := os.pread(self._file, 1 << 20, self._read_to):
            whole = data[: data.rfind(b"\n") + 1]
            if not whole:
                break
            self._read_to += len(whole)
            self._events += map(Event.parse, whole.decode().splitlines())
        return [event for event in self._events if not kinds or event.kind in kinds]

    def count(self, kind: Kind, ids: set[str] | None = None) -> int:
        """Return how many different tasks, of these or of all, have an event of this kind."""
        found = {event.task_id for event in self.events(kind)}
        return len(found if ids is None else found & ids)

    def close(self) -> None:
        os.close(self._file)
