"""The values that cross the seam between core and a driver.

They are flat, bound to no connection and no event loop, and not to be changed once made. They are
plain slotted classes, not frozen ones: freezing costs 0.5 us per object, three times what the rest
of its construction does, and a worker makes two of them per task.

Units: every duration is an integer number of milliseconds and says so in its name (`_ms`).
Instants do not travel, since only the store's clock decides what is due; the two exceptions are
for display and are Unix milliseconds of the store's clock (`_at_ms`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias


@dataclass(slots=True)
class Message:
    """What core asks a driver to store.

    Attributes:
        id: 16 bytes, time-ordered (UUIDv7), drawn by core, unique.
        queue: Name matching `[A-Za-z0-9][A-Za-z0-9_-]{0,79}`.
        body: The envelope. A driver never looks inside.
        priority: 0 (normal) to `Capabilities.priorities - 1`; higher is handed out first.
        delay_ms: Not handed out before this much time has passed on the store's clock.
        expires_in_ms: When handed out later than this, the lease says `expired`.
    """

    id: bytes
    queue: str
    body: bytes
    priority: int = 0
    delay_ms: int = 0
    expires_in_ms: int | None = None


@dataclass(slots=True)
class Lease:
    """A message held by one consumer until a deadline; `(id, lease_id)` is its identity.

    Attributes:
        id: The message's id.
        queue: The queue it came from.
        body: The message's body, unchanged.
        lease_id: The fence: the 16 random bytes given to the `lease` call that took it.
        deliveries: How often it was handed out, this time included (1 on the first).
        crashes: How many of its leases expired.
        state: Core's memory of the message, as last settled; empty at first. At most 4 KiB.
        priority: The message's priority.
        expired: More than its `expires_in_ms` had passed when it was handed out.
    """

    id: bytes
    queue: str
    body: bytes
    lease_id: bytes
    deliveries: int
    crashes: int
    state: bytes = b""
    priority: int = 0
    expired: bool = False


@dataclass(slots=True)
class StoredResult:
    """The outcome of a finished task, kept for `ttl_ms` from when it was stored."""

    body: bytes
    ttl_ms: int


@dataclass(slots=True)
class Ack:
    """Done: the message goes away; its result, if any, is stored with it."""

    lease: Lease
    result: StoredResult | None = None


@dataclass(slots=True)
class Retry:
    """Failed, to be handed out again after `delay_ms`, with `state` replaced."""

    lease: Lease
    delay_ms: int
    state: bytes


@dataclass(slots=True)
class Release:
    """Not done and not failed: handed back, to be handed out again after `delay_ms`.

    `Retry` and `Release` do the same to a store that keeps core's `state`. They are two values
    because brokers with counters of their own must charge the first and not the second.
    """

    lease: Lease
    delay_ms: int
    state: bytes


@dataclass(slots=True)
class Reject:
    """To the dead letters, with `reason` (a `DeadReason` value), `state` and the raw body."""

    lease: Lease
    reason: str
    state: bytes
    result: StoredResult | None = None


Settlement: TypeAlias = Ack | Retry | Release | Reject
"""How a lease ends."""


class Extension(Enum):
    """What a keeper learns about one lease when it extends it."""

    HELD = "held"
    """Ours, and now for the visibility asked for."""
    LOST = "lost"
    """Not ours any more."""
    CANCELLED = "cancelled"
    """Ours and extended, but somebody asked for the task to be cancelled."""
    BUSY = "busy"
    """Locked by a transaction of its own task: ours, and nobody can take it meanwhile."""


class MessageState(Enum):
    """Where a message is."""

    READY = "ready"
    DELAYED = "delayed"
    LEASED = "leased"
    DEAD = "dead"


@dataclass(slots=True)
class QueueStats:
    """Counts of one queue; `None` where a backend cannot know.

    Attributes:
        queue: Its name.
        ready: Due and waiting.
        delayed: Waiting for their time.
        leased: Held by consumers, expired leases not yet reclaimed included.
        dead: Dead letters.
        oldest_ready_ms: How long the longest-waiting ready message has been due.
    """

    queue: str
    ready: int | None
    delayed: int | None
    leased: int | None
    dead: int | None
    oldest_ready_ms: int | None


@dataclass(slots=True)
class DeadLetter:
    """A rejected message as it was, with what was known about it.

    Attributes:
        id: The message's id.
        queue: The queue it died in and returns to.
        body: Its raw body.
        reason: The `reason` it was rejected with.
        state: The `state` it was rejected with.
        priority: Its priority.
        deliveries: How often it had been handed out.
        crashes: How many of its leases had expired.
        died_at_ms: When it was rejected, Unix milliseconds of the store's clock. For display.
    """

    id: bytes
    queue: str
    body: bytes
    reason: str
    state: bytes
    priority: int
    deliveries: int
    crashes: int
    died_at_ms: int
