"""What happens to tasks, for whoever wants to know: metrics, audits, tests.

    @listen
    def count(event: TaskEvent) -> None: ...

Listeners are plain functions, called where the event happens: in the dispatching process for
`DISPATCHED`, in the worker for the rest. They must be quick. One that raises is logged and breaks
nothing. Without listeners no event is made.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

log = logging.getLogger("async_task.events")


class EventKind(StrEnum):
    """What happened."""

    DISPATCHED = "dispatched"
    """Stored; `dispatch` returns."""
    STARTED = "started"
    """A run begins."""
    DONE = "done"
    """A run returned, and the task is over."""
    RETRYING = "retrying"
    """A run failed, and the task runs again later."""
    RELEASED = "released"
    """Put back, uncharged."""
    DEAD = "dead"
    """Given up on; `reason` says why."""
    CANCELLED = "cancelled"
    """Ended because somebody cancelled it."""
    LEASE_LOST = "lease_lost"
    """Not ours any more; another worker may run it, and what it comes to here is discarded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEvent:
    """One thing that happened to one task.

    Attributes:
        kind: What.
        task_id: The id `dispatch` returned.
        task: The task's name; None where the message cannot be read.
        queue: Its queue.
        attempt: How many runs failed before; 0 on the first.
        duration_s: How long the run took, for what ends one.
        reason: The `DeadReason` of `DEAD`.
        error: The last failure of `RETRYING` and `DEAD`, as `type: message`.
    """

    kind: EventKind
    task_id: str
    task: str | None
    queue: str
    attempt: int = 0
    duration_s: float | None = None
    reason: str | None = None
    error: str | None = None


Listener = Callable[[TaskEvent], object]
_L = TypeVar("_L", bound=Listener)

listeners: list[Listener] = []
"""Who listens in this process."""


def listen(listener: _L) -> _L:
    """Call `listener` with every event from now on; usable as a decorator."""
    listeners.append(listener)
    return listener


def unlisten(listener: Listener) -> None:
    """Stop calling a listener."""
    listeners.remove(listener)


def emit(event: TaskEvent) -> None:
    """Tell every listener."""
    for listener in listeners:
        try:
            listener(event)
        except Exception:
            log.exception("listener %r raised on %s of %s", listener, event.kind, event.task)
