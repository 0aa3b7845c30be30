"""The optional halves of a driver. A driver that lacks one has `None` there.

The rules of `async_task.spi.driver` hold here too: bounded calls, no retries, `DriverError`s with
the client's exception as cause, all methods callable concurrently from one loop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from async_task.spi.messages import (
        DeadLetter,
        Lease,
        Message,
        MessageState,
        Settlement,
        StoredResult,
    )


class DeadLetters(Protocol):
    """Reading and moving rejected messages."""

    async def browse(
        self, queue: str, *, limit: int, after: bytes | None = None
    ) -> Sequence[DeadLetter]:
        """Read up to `limit` dead letters of a queue, in order of id.

        Args:
            queue: A queue name.
            limit: 1 or more.
            after: Return only ids above this one: the last id of the page before.
        """
        ...

    async def get(self, queue: str, ids: Sequence[bytes]) -> Sequence[DeadLetter | None]:
        """Read dead letters by id, aligned with `ids`; `None` where there is none."""
        ...

    async def requeue(self, queue: str, states: Mapping[bytes, bytes]) -> int:
        """Move dead letters back to their queue, ready now, each with the `state` given for its id.

        Deliveries and crashes start again at 0 and an expiry is dropped. Each move is atomic. An id
        that is not among the dead letters is skipped, so repeating the call is harmless.

        Returns:
            How many were moved.
        """
        ...

    async def purge(self, queue: str, ids: Sequence[bytes] | None = None) -> int:
        """Delete the dead letters named, or all of the queue; returns how many."""
        ...


class Results(Protocol):
    """Outcomes kept for a while under the message's id."""

    async def put(self, results: Mapping[bytes, StoredResult]) -> None:
        """Store results outside a settle call: for applications whose messages live elsewhere."""
        ...

    async def get(self, ids: Sequence[bytes]) -> Sequence[bytes | None]:
        """Read the bodies that are there and have not outlived their time, aligned with `ids`."""
        ...

    async def wait(self, ids: Sequence[bytes], *, wait_ms: int) -> Mapping[bytes, bytes]:
        """Return as soon as at least one of `ids` has a result, or `{}` after `wait_ms`.

        One call per process serves any number of waiting handles; cancelling it loses nothing.
        """
        ...


class Control(Protocol):
    """Looking at single messages and steering whole queues, for every worker at once."""

    async def queues(self) -> Sequence[str]:
        """List the names of all queues that were provisioned or hold anything, sorted."""
        ...

    async def status(self, ids: Sequence[bytes]) -> Sequence[MessageState | None]:
        """Say where messages are, aligned with `ids`; `None` for finished or never seen."""
        ...

    async def cancel(self, ids: Sequence[bytes]) -> Sequence[MessageState | None]:
        """Cancel messages; aligned, the state each was in.

        READY or DELAYED: gone at once. LEASED: marked; its keeper learns `CANCELLED` at the next
        extension, and however that lease ends, the message is not handed out again. DEAD or
        `None`: untouched.
        """
        ...

    async def pause(self, queue: str) -> None:
        """Hand out nothing of this queue until it is resumed. Survives restarts. Idempotent."""
        ...

    async def resume(self, queue: str) -> None:
        """Undo `pause`. Idempotent."""
        ...

    async def paused(self) -> Sequence[str]:
        """List the names of the paused queues, sorted."""
        ...


@dataclass(frozen=True, slots=True)
class Statement:
    """One SQL statement for core to execute on somebody else's connection.

    Attributes:
        sql: The statement, with `:name` placeholders, and neither `::` casts nor colons in
            literals, so that it can be rewritten for every client's own placeholders.
        parameters: A value for each placeholder.
    """

    sql: str
    parameters: Mapping[str, object]


class Transactions(Protocol):
    """What lets the caller's own transaction carry messages and settlements.

    Pure: nothing here talks to the backend. Core executes the statements, in order, on whatever
    connection the caller has, and never commits or rolls back in between.
    """

    @property
    def dialect(self) -> str:
        """`"postgresql"`, `"mysql"` or `"sqlite"`: whose connections can be used."""
        ...

    def enqueue(self, messages: Sequence[Message]) -> Sequence[Statement]:
        """Return what stores messages, invisible to others until the transaction commits.

        Storing one again while it is unfinished changes nothing.
        """
        ...

    def lock(self, lease: Lease) -> Statement:
        """Return what keeps a lease until the transaction ends.

        It returns one row if the lease is current and none if it is not. While it is held the
        keeper is told BUSY, and nobody reclaims the message.
        """
        ...

    def settle(self, settlement: Settlement) -> Sequence[Statement]:
        """Return what ends a lease that the same transaction has locked, result included."""
        ...


class Migrations(Protocol):
    """The schema of a driver that has one."""

    async def pending(self) -> Sequence[str]:
        """Name the migrations that are not applied yet, in order."""
        ...

    async def apply(self) -> Sequence[str]:
        """Apply what is pending and name it. Idempotent; safe when run by several at once."""
        ...

    def sql(self) -> str:
        """Return the whole schema as a script a database administrator can run."""
        ...
