"""One leased message on its way through a worker."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from async_task.core.definition import Execution
from async_task.core.ids import id_text

if TYPE_CHECKING:
    import asyncio

    from async_task.core.definition import TaskDefinition
    from async_task.core.envelope import Envelope
    from async_task.core.history import History
    from async_task.core.reasons import DeadReason
    from async_task.core.references import SharedFetch
    from async_task.core.retry import RetryPolicy
    from async_task.spi.messages import Lease


SUSPECT_CRASHES: Final = 2
"""From this many crashes on a task runs alone (delivery contract)."""


class Stop(Enum):
    """Why a worker ends an attempt before it ends by itself."""

    TIMEOUT = auto()
    LEASE_LOST = auto()
    CANCELLED = auto()
    SHUTDOWN = auto()


class Hold:
    """A lease this worker holds, from when it was taken until it is settled or lost.

    Compared by identity: the same message may be leased again while an old attempt, its lease lost,
    still runs.

    Attributes:
        lease: The lease, with which everything about the message is settled.
        deadline: Local end of the lease on the boot-time clock; moved by the heartbeat thread.
        stop: Why it is being ended early, once it is.
        settled: Whether its settlement was handed in, or it was given up.
    """

    __slots__ = ("deadline", "lease", "settled", "stop")

    def __init__(self, lease: Lease, deadline: float) -> None:
        self.lease = lease
        self.deadline = deadline
        self.stop: Stop | None = None
        self.settled = False

    @property
    def task_id(self) -> str:
        """The task's id as users know it."""
        return id_text(self.lease.id)

    def __repr__(self) -> str:
        return f"message {self.task_id}"


class Attempt(Hold):
    """A leased task that this worker can run.

    Attributes:
        suspect: Whether it may be what takes its process down, so that it has to run alone.
        apart: Whether it runs in a child process of the worker.
        definition, envelope, history: What the message says.
        policy: When a failure is tried again.
        result_ttl_ms: How long its outcome is kept, None for not at all.
        stale_at: When it goes back unless it is started, on that clock; set while it waits.
        timeout_s: Limit of this run, None for none.
        timeout_at: When that limit ends, on that clock; set at start.
        fault: Set when its body has ended in a child process that cannot tell: only its failure is
            left to be dealt with.
        doom: Set when there is nothing to run: the reason it is dead, and the error saying so.
        runner: The asyncio task that runs it, once it is started.
        fetch: What fetches its references along with those of others, if any do.
        fetching: Whether it waits for them, and has not begun.
    """

    __slots__ = (
        "apart",
        "definition",
        "doom",
        "envelope",
        "fault",
        "fetch",
        "fetching",
        "history",
        "policy",
        "result_ttl_ms",
        "runner",
        "stale_at",
        "suspect",
        "timeout_at",
        "timeout_s",
    )

    stale_at: float

    def __init__(
        self,
        lease: Lease,
        deadline: float,
        definition: TaskDefinition,
        envelope: Envelope,
        history: History,
        policy: RetryPolicy,
        timeout_s: float | None,
        result_ttl_ms: int | None,
    ) -> None:
        # Like `Hold`, without calling it: with that, and keywords, 0.56 us instead of 0.22.
        self.lease = lease
        self.deadline = deadline
        self.stop = None
        self.settled = False
        self.suspect = lease.crashes >= SUSPECT_CRASHES or history.solo_crashes > 0
        self.apart = self.suspect or definition.execution is Execution.PROCESS
        self.definition = definition
        self.envelope = envelope
        self.history = history
        self.policy = policy
        self.timeout_s = timeout_s
        self.result_ttl_ms = result_ttl_ms
        self.timeout_at: float | None = None
        self.fault: Exception | None = None
        self.doom: tuple[DeadReason, Exception] | None = None
        self.runner: asyncio.Task[None] | None = None
        self.fetch: SharedFetch | None = None
        self.fetching = False

    @property
    def in_thread(self) -> bool:
        """Whether it runs in a thread of this process, which nothing can stop."""
        in_threads = self.definition.execution is Execution.THREAD and not self.suspect
        return in_threads and not self.fetching

    def __repr__(self) -> str:
        return f"{self.definition.name}[{self.task_id}]"
