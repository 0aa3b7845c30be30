"""What a driver can do, as one value that can be read without importing its client library."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum


class Facet(Enum):
    """An optional half of a driver; the value is the name of the property that holds it."""

    DEAD_LETTERS = "dead_letters"
    RESULTS = "results"
    CONTROL = "control"
    TRANSACTIONS = "transactions"
    MIGRATIONS = "migrations"


class Delay(IntEnum):
    """How fine a delay can be; the value is the granularity in milliseconds, 0 for no delays."""

    NONE = 0
    MILLISECONDS = 1
    SECONDS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What core may rely on, and what selects the tests of the conformance suite.

    A driver's `plugin` module declares the guaranteed minimum; `Driver.capabilities` may say more
    once it is open and has seen its server. Undeclared things are refused by core when a task is
    declared or an application opens, never silently dropped.

    Attributes:
        facets: The optional halves that are present.
        max_batch: Most messages, leases or settlements in one call; core splits. None: no limit.
        max_body: Largest body in bytes. None: no limit of the backend's own.
        max_visibility_ms: Longest that a lease can be held in all. None: for ever.
        priorities: Number of priority levels, 1 for none; strict, higher first.
        ordered: Within a queue and priority, what is due earlier is handed out first, then what
            came earlier; without it in about that order.
        delay: Granularity of delays. A driver other than NONE takes delays of any length.
        fence: A settle or extend with a lease id that is not current certainly changes nothing.
        atomic_settle: Each settlement is one atomic step; without it there may be two copies of a
            message for a moment, never none.
        idempotent_enqueue: Storing a message twice while it is unfinished stores it once.
        recoverable_lease: `Consumer.recover` works.
        purges_delayed: `Driver.purge` reaches what is delayed too, not only what is ready.
        dead_letters_by_id: Dead letters can be addressed by id; without it only from the head.
    """

    facets: frozenset[Facet] = frozenset()
    max_batch: int | None = None
    max_body: int | None = None
    max_visibility_ms: int | None = None
    priorities: int = 1
    ordered: bool = False
    delay: Delay = Delay.NONE
    fence: bool = False
    atomic_settle: bool = False
    idempotent_enqueue: bool = False
    recoverable_lease: bool = False
    purges_delayed: bool = False
    dead_letters_by_id: bool = False
