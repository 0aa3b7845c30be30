"""What a driver implements: `Driver`, `Consumer`, `LeaseKeeper`.

A driver stores messages, hands them out under leases and counts. It holds no policy: it never
retries, sleeps for back-off, logs payloads, or reads `body` or `state`. Core decides what happens
to a message; the driver makes it so, in one atomic step wherever the backend can.

Rules for every method, each of them a conformance test:

* A write has three outcomes: done, refused (`DriverError`, nothing stored) and unknown
  (`OutcomeUnknownError`). The client library's own re-sending is switched off.
* Every call is bounded by `DriverOptions.op_timeout_ms`, plus any wait asked for.
* Only the store's clock compares times.
* All methods may be called concurrently from one event loop; the keeper has a loop of its own.
* Cancelling a call leaves the driver usable, and at worst an outcome unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager

    from async_task.spi.capabilities import Capabilities
    from async_task.spi.facets import Control, DeadLetters, Migrations, Results, Transactions
    from async_task.spi.messages import Extension, Lease, Message, QueueStats, Settlement


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverOptions:
    """What core tells every driver when it makes one.

    Attributes:
        namespace: Prefix that keeps this application's queues apart from others in one backend,
            matching `[a-z0-9_]{0,40}`; empty for none.
        op_timeout_ms: Bound of one call.
    """

    namespace: str = ""
    op_timeout_ms: int = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerOptions:
    """What a consumer is opened for.

    Attributes:
        queues: All queues it may be asked to lease from.
        max_leases: Most leases it will hold at once.
    """

    queues: tuple[str, ...]
    max_leases: int


class Consumer(Protocol):
    """One worker process's way of taking messages; made by `Driver.consumer`."""

    async def lease(
        self,
        queues: Sequence[str],
        limit: int,
        *,
        wait_ms: int,
        lease_id: bytes,
        visibility_ms: int,
    ) -> Sequence[Lease]:
        """Hand out up to `limit` messages, waiting up to `wait_ms` for the first.

        Returns as soon as at least one message is ready, with what is ready then. Queues are tried
        in the order given; within a queue higher priority first, then earlier due, then order of
        arrival (see `Capabilities.ordered`). Messages of paused queues are not handed out. Expired
        leases are reclaimed on the way, a bounded number per call. Cancelling it loses nothing:
        what the backend had already handed over returns after `visibility_ms`.

        Args:
            queues: A subset of the consumer's queues, most urgent first, not empty.
            limit: 1 or more. Never exceeded.
            wait_ms: 0 to look once.
            lease_id: 16 random bytes, never used for another call.
            visibility_ms: How long the leases hold without being extended.

        Returns:
            0 to `limit` leases.

        Raises:
            OutcomeUnknownError: Messages may have been leased; see `recover`.
            DriverError: None were.
        """
        ...

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[int]:
        """End leases, each in one atomic step (see `Capabilities.atomic_settle`).

        Returns:
            The positions whose lease was no longer current, which changed nothing. Normally `()`.
            A repeated call finds what it did the first time stale; that is no error.

        Raises:
            OutcomeUnknownError: Some may be settled; repeating the same call is safe.
            DriverError: None were.
        """
        ...

    async def recover(self, lease_id: bytes) -> Sequence[Lease]:
        """Return what a `lease` call of unknown outcome took and still holds, changing nothing.

        Raises:
            UnsupportedError: The driver does not declare `recoverable_lease`.
        """
        ...

    def interrupt(self) -> None:
        """Make a waiting `lease` return now with what it has; later calls wait as usual."""
        ...


class LeaseKeeper(Protocol):
    """What renews leases. Opened, used and closed in the heartbeat thread's own loop."""

    async def extend(self, leases: Sequence[Lease], visibility_ms: int) -> Sequence[Extension]:
        """Let leases hold for `visibility_ms` from now, in as few round trips as possible.

        Returns:
            One answer per lease, aligned. A lease that is not current is LOST and unchanged.
        """
        ...


class Driver(Protocol):
    """A backend. Made by its factory with settings and `DriverOptions`; making one does no I/O."""

    @property
    def capabilities(self) -> Capabilities:
        """The guaranteed minimum before `open`, what this server really offers after it."""
        ...

    @property
    def dead_letters(self) -> DeadLetters | None:
        """Rejected messages, or `None`."""
        ...

    @property
    def results(self) -> Results | None:
        """Stored outcomes, or `None`."""
        ...

    @property
    def control(self) -> Control | None:
        """Single messages and whole queues, or `None`."""
        ...

    @property
    def transactions(self) -> Transactions | None:
        """What lets a caller's own transaction carry messages, or `None`."""
        ...

    @property
    def migrations(self) -> Migrations | None:
        """The schema, or `None`."""
        ...

    async def open(self) -> None:
        """Connect and check the server. May be called again after `close`.

        Raises:
            ConfigurationError: The server or schema cannot serve as configured; says what to do.
            DriverError: It cannot be reached; `retryable` tells whether to try again.
        """
        ...

    async def close(self) -> None:
        """Let go of everything, bounded in time. Idempotent; never raises for a dead server.

        Also of what an `open` or a `close` that was cancelled has left.
        """
        ...

    async def ping(self) -> None:
        """Make one cheap round trip."""
        ...

    async def provision(self, queues: Sequence[str]) -> None:
        """Make sure the queues exist. Idempotent, safe when done by several at once."""
        ...

    async def enqueue(self, messages: Sequence[Message]) -> Sequence[int]:
        """Store messages durably, by the backend's normal standard, before returning.

        Returns:
            The positions that were already stored and unfinished, and so were not stored again
            (only with `idempotent_enqueue`). Normally `()`.

        Raises:
            EnqueueError: Some were stored; says which failed and how.
            OutcomeUnknownError: Any of them may be stored.
            DriverError: None was.
        """
        ...

    def consumer(self, options: ConsumerOptions) -> AbstractAsyncContextManager[Consumer]:
        """Return a context manager whose value takes messages; leaving it returns nothing."""
        ...

    def keeper(self) -> AbstractAsyncContextManager[LeaseKeeper] | None:
        """Return what renews leases, to be entered in another thread's loop.

        `None` where the backend's connection is the lease; such a driver keeps that connection
        alive by itself, off the task loop.
        """
        ...

    async def maintain(self) -> None:
        """Reclaim expired leases and drop outlived data, a bounded amount.

        Every worker calls it about once a second; several at once are harmless.
        """
        ...

    async def stats(self, queues: Sequence[str]) -> Sequence[QueueStats]:
        """Count queues, aligned with `queues`; may cost as much as they are long."""
        ...

    async def purge(self, queue: str) -> int:
        """Delete what is ready or delayed in a queue, nothing else; returns how many.

        Without `Capabilities.purges_delayed` what is delayed stays.
        """
        ...


class BaseDriver:
    """Defaults for what a driver may leave out; holds no state, nobody needs to call `super`."""

    dead_letters: DeadLetters | None = None
    results: Results | None = None
    control: Control | None = None
    transactions: Transactions | None = None
    migrations: Migrations | None = None

    async def provision(self, queues: Sequence[str]) -> None:
        """Do nothing: queues come into being by use."""

    async def maintain(self) -> None:
        """Do nothing."""
