"""Events of a worker, made from what it does with its leases."""

from __future__ import annotations

from dataclasses import replace

from async_task.core.events import EventKind, TaskEvent
from async_task.core.history import History
from async_task.runtime.attempt import Attempt, Hold, Stop
from async_task.spi.messages import Ack, Reject, Release, Settlement


def event(hold: Hold, kind: EventKind, duration_s: float | None = None) -> TaskEvent:
    """Return an event about a lease."""
    attempt = hold if isinstance(hold, Attempt) else None
    return TaskEvent(
        kind=kind,
        task_id=hold.task_id,
        task=None if attempt is None else attempt.definition.name,
        queue=hold.lease.queue,
        attempt=History.unpack(hold.lease.state).failures,
        duration_s=duration_s,
    )


def settled_event(hold: Hold, settlement: Settlement, duration_s: float | None) -> TaskEvent:
    """Return the event that a settlement is."""
    match settlement:
        case Ack():
            kind = EventKind.CANCELLED if hold.stop is Stop.CANCELLED else EventKind.DONE
            return event(hold, kind, duration_s)
        case Release():
            return event(hold, EventKind.RELEASED, duration_s)
        case _:
            reason = settlement.reason if isinstance(settlement, Reject) else None
            kind = EventKind.RETRYING if reason is None else EventKind.DEAD
            errors = History.unpack(settlement.state).errors
            error = f"{errors[-1].type}: {errors[-1].message}" if errors else None
            return replace(event(hold, kind, duration_s), reason=reason, error=error)
