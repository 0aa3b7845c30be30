"""The store behind the memory driver: leases and everything that happens to a message.

One lock guards it, so that event loops in several threads may share it; each method is one atomic
step and takes time logarithmic in the backlog unless it says otherwise. Waiting is not done here:
a waiter registers itself, looks, and is woken by whatever may change what it sees. The optional
halves (`memory_facets`) work on the same data under the same lock.
"""

from __future__ import annotations

import itertools
import threading
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Protocol

from async_task.spi.messages import Ack, DeadLetter, Extension, Lease, QueueStats, Reject
from async_task.spi.reclaim import reclaim_delay_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from async_task.spi.messages import Message, Settlement, StoredResult

RECLAIM_BATCH = 1000
"""Most expired leases reclaimed by one call: the bound the interface asks for."""


class Waiter(Protocol):
    """Somebody who looks again when woken."""

    def wake(self) -> None:
        """Make it look again; called from any thread, holding the store's lock."""
        ...


@dataclass(slots=True)
class Stored:
    """A message that is ready, delayed or leased.

    Heaps are never searched: a heap item names the `stamp` its message had when the item was made,
    and an item whose stamp is not the message's any more is skipped when it surfaces.
    """

    message: Message
    arrival: int
    due_ms: int
    expires_at_ms: int | None = None
    stamp: int = 0
    state: bytes = b""
    deliveries: int = 0
    crashes: int = 0
    lease: Lease | None = None
    cancelled: bool = False


@dataclass(slots=True)
class _Queue:
    ready: list[tuple[int, int, int, int, bytes]] = field(default_factory=list)
    """Heap of (-priority, due, arrival, stamp, id)."""
    delayed: list[tuple[int, int, bytes]] = field(default_factory=list)
    """Heap of (due, stamp, id)."""


class MemoryStore:
    """Messages, dead letters and results of one namespace.

    Args:
        now_ms: The store's clock: Unix milliseconds that never go back.
    """

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.now_ms = now_ms
        self.lock = threading.RLock()
        self.messages: dict[bytes, Stored] = {}
        self.dead: dict[bytes, DeadLetter] = {}
        self.results: dict[bytes, tuple[int, bytes]] = {}  # id -> (end, body)
        self.provisioned: set[str] = set()
        self.paused: set[str] = set()
        self._queues: defaultdict[str, _Queue] = defaultdict(_Queue)
        self._held: list[tuple[int, int, bytes]] = []  # heap of (end of lease, stamp, id)
        self._outlived: list[tuple[int, bytes]] = []  # heap of (end of result, id)
        self._count = itertools.count(1)
        self._waiters: set[Waiter] = set()

    @contextmanager
    def waiting(self, waiter: Waiter) -> Generator[None]:
        """Have `waiter` woken by every change while inside. Enter it before looking."""
        with self.lock:
            self._waiters.add(waiter)
        try:
            yield
        finally:
            with self.lock:
                self._waiters.discard(waiter)

    def wake(self) -> None:
        """Make every waiter look again. A clock that is moved by hand calls it too."""
        with self.lock:
            for waiter in self._waiters:
                waiter.wake()

    def enqueue(self, messages: Sequence[Message]) -> list[int]:
        """Store messages; return the positions that were there already, unfinished."""
        with self.lock:
            now = self.now_ms()
            duplicates: list[int] = []
            for position, message in enumerate(messages):
                if message.id in self.messages or message.id in self.dead:
                    duplicates.append(position)
                    continue
                expiry = message.expires_in_ms
                expires_at = None if expiry is None else now + expiry
                self.add(message, now + message.delay_ms, now, expires_at_ms=expires_at)
            self.wake()
            return duplicates

    def add(
        self,
        message: Message,
        due_ms: int,
        now: int,
        *,
        expires_at_ms: int | None = None,
        state: bytes = b"",
    ) -> None:
        """Put in a message that is not there."""
        stored = Stored(message, next(self._count), due_ms, expires_at_ms, state=state)
        self.messages[message.id] = stored
        self._place(stored, now)

    def lease(
        self, queues: Sequence[str], limit: int, lease_id: bytes, visibility_ms: int
    ) -> tuple[list[Lease], int | None]:
        """Hand out what is ready.

        Returns:
            The leases, and in how many milliseconds time alone may bring more (`None`: never).
        """
        with self.lock:
            now = self.now_ms()
            self._reclaim(now)
            leases: list[Lease] = []
            for queue in queues:
                if queue in self.paused:
                    continue
                self._promote(queue, now)
                ready = self._queues[queue].ready
                while ready and len(leases) < limit:
                    *_, stamp, message_id = heappop(ready)
                    stored = self._stamped(message_id, stamp)
                    if stored is not None:
                        leases.append(self._hand_out(stored, lease_id, now, visibility_ms))
            return leases, self._next_change_ms(queues, now)

    def settle(self, settlements: Sequence[Settlement]) -> list[int]:
        """End leases; return the positions whose lease was not current."""
        with self.lock:
            now = self.now_ms()
            stale: list[int] = []
            for position, settlement in enumerate(settlements):
                stored = self._current(settlement.lease)
                if stored is None:
                    stale.append(position)
                else:
                    self._end(stored, settlement, now)
            self.wake()
            return stale

    def extend(self, leases: Sequence[Lease], visibility_ms: int) -> list[Extension]:
        """Let leases hold for `visibility_ms` from now."""
        with self.lock:
            end = self.now_ms() + visibility_ms
            answers: list[Extension] = []
            for lease in leases:
                stored = self._current(lease)
                if stored is None:
                    answers.append(Extension.LOST)
                    continue
                self._hold(stored, end)
                answers.append(Extension.CANCELLED if stored.cancelled else Extension.HELD)
            return answers

    def recover(self, lease_id: bytes) -> list[Lease]:
        """Return what a lease id holds; looks at every message."""
        with self.lock:
            held = (stored.lease for stored in self.messages.values())
            return [lease for lease in held if lease is not None and lease.lease_id == lease_id]

    def maintain(self) -> None:
        """Reclaim expired leases and drop outlived results."""
        with self.lock:
            now = self.now_ms()
            self._reclaim(now)
            while self._outlived and self._outlived[0][0] <= now:
                end, message_id = heappop(self._outlived)
                if message_id in self.results and self.results[message_id][0] == end:
                    del self.results[message_id]

    def stats(self, queue: str) -> QueueStats:
        """Count a queue; looks at every message of the store."""
        with self.lock:
            now = self.now_ms()
            here = [stored for stored in self.messages.values() if stored.message.queue == queue]
            due = [stored.due_ms for stored in here if stored.lease is None]
            ready = [due_ms for due_ms in due if due_ms <= now]
            return QueueStats(
                queue,
                ready=len(ready),
                delayed=len(due) - len(ready),
                leased=len(here) - len(due),
                dead=sum(letter.queue == queue for letter in self.dead.values()),
                oldest_ready_ms=now - min(ready, default=now),
            )

    def purge(self, queue: str) -> int:
        """Delete what is ready or delayed; looks at every message of the store."""
        with self.lock:
            doomed = [
                message_id
                for message_id, stored in self.messages.items()
                if stored.message.queue == queue and stored.lease is None
            ]
            for message_id in doomed:
                del self.messages[message_id]
            return len(doomed)

    def keep(self, message_id: bytes, result: StoredResult) -> None:
        """Store a result for its time, in place of an earlier one."""
        with self.lock:
            end = self.now_ms() + result.ttl_ms
            self.results[message_id] = (end, result.body)
            heappush(self._outlived, (end, message_id))
            self.wake()

    def _hand_out(self, stored: Stored, lease_id: bytes, now: int, visibility_ms: int) -> Lease:
        message = stored.message
        stored.deliveries += 1
        stored.lease = Lease(
            message.id,
            message.queue,
            message.body,
            lease_id,
            stored.deliveries,
            stored.crashes,
            stored.state,
            message.priority,
            expired=stored.expires_at_ms is not None and now > stored.expires_at_ms,
        )
        self._hold(stored, now + visibility_ms)
        return stored.lease

    def _end(self, stored: Stored, settlement: Settlement, now: int) -> None:
        message = stored.message
        if isinstance(settlement, Ack | Reject):
            del self.messages[message.id]
            if settlement.result is not None:
                self.keep(message.id, settlement.result)
        else:
            stored.state = settlement.state
            self._return(stored, settlement.delay_ms, now)
        if isinstance(settlement, Reject):
            self.dead[message.id] = DeadLetter(
                message.id,
                message.queue,
                message.body,
                settlement.reason,
                settlement.state,
                message.priority,
                stored.deliveries,
                stored.crashes,
                died_at_ms=now,
            )

    def _current(self, lease: Lease) -> Stored | None:
        stored = self.messages.get(lease.id)
        if stored is None or stored.lease is None or stored.lease.lease_id != lease.lease_id:
            return None
        return stored

    def _reclaim(self, now: int) -> None:
        # Until it is reclaimed a lease is current, however late: nobody else has the message yet.
        for _ in range(RECLAIM_BATCH):
            self._skip_outdated(self._held)
            if not self._held or self._held[0][0] > now:
                return
            stored = self.messages[heappop(self._held)[-1]]
            stored.crashes += 1
            self._return(stored, reclaim_delay_ms(stored.crashes), now)
            self.wake()

    def _return(self, stored: Stored, delay_ms: int, now: int) -> None:
        if stored.cancelled:
            del self.messages[stored.message.id]
            return
        stored.lease = None
        stored.due_ms = now + delay_ms
        self._place(stored, now)

    def _place(self, stored: Stored, now: int) -> None:
        message, queue = stored.message, self._queues[stored.message.queue]
        stored.stamp = next(self._count)
        if stored.due_ms > now:
            heappush(queue.delayed, (stored.due_ms, stored.stamp, message.id))
        else:
            order = (-message.priority, stored.due_ms, stored.arrival)
            heappush(queue.ready, (*order, stored.stamp, message.id))

    def _promote(self, queue: str, now: int) -> None:
        delayed = self._queues[queue].delayed
        while delayed and delayed[0][0] <= now:
            _, stamp, message_id = heappop(delayed)
            stored = self._stamped(message_id, stamp)
            if stored is not None:
                self._place(stored, now)

    def _hold(self, stored: Stored, end: int) -> None:
        stored.stamp = next(self._count)
        heappush(self._held, (end, stored.stamp, stored.message.id))

    def _stamped(self, message_id: bytes, stamp: int) -> Stored | None:
        stored = self.messages.get(message_id)
        return stored if stored is not None and stored.stamp == stamp else None

    def _skip_outdated(self, heap: list[tuple[int, int, bytes]]) -> None:
        while heap and self._stamped(heap[0][-1], heap[0][1]) is None:
            heappop(heap)

    def _next_change_ms(self, queues: Sequence[str], now: int) -> int | None:
        heaps = [self._held]
        heaps += [self._queues[queue].delayed for queue in queues if queue not in self.paused]
        for heap in heaps:
            self._skip_outdated(heap)
        times = [heap[0][0] for heap in heaps if heap]
        return max(0, min(times) - now) if times else None
