"""The memory driver: the reference for every rule of `async_task.spi`.

It keeps everything inside one process and forgets it when that process ends, so it serves tests,
trying out, and as the model that other drivers are compared with.
"""

from __future__ import annotations

import threading
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from async_task.drivers.memory_facets import MemoryControl, MemoryDeadLetters, MemoryResults
from async_task.drivers.memory_store import MemoryStore
from async_task.drivers.memory_waiter import LoopWaiter
from async_task.drivers.plugin import CAPABILITIES
from async_task.spi.driver import BaseDriver
from async_task.spi.errors import ConfigurationError, DriverError
from async_task.spi.settings import DriverSettings, setting

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from async_task.spi.capabilities import Capabilities
    from async_task.spi.driver import Consumer, ConsumerOptions, Driver, DriverOptions, LeaseKeeper
    from async_task.spi.messages import Extension, Lease, Message, QueueStats, Settlement

_STARTED_NS = time.time_ns() - time.monotonic_ns()
_STORES: dict[tuple[str, str], MemoryStore] = {}
_STORES_LOCK = threading.Lock()


def unix_ms() -> int:
    """Return Unix milliseconds as of the start of this process plus what has passed since.

    It never goes back when somebody sets the machine's clock, as a store's clock must not.
    """
    return (_STARTED_NS + time.monotonic_ns()) // 1_000_000


@dataclass(frozen=True, kw_only=True)
class MemorySettings(DriverSettings):
    """What can be set about the memory driver."""

    name: str = setting("default", "Drivers of one process with the same name share one store.")

    @classmethod
    def from_url(cls, url: str) -> dict[str, Any]:
        """Read `memory://name`; without a name it is the default store."""
        parts = urlsplit(url)
        if parts.path.strip("/") or parts.query or parts.fragment:
            raise ConfigurationError(
                f"The URL {url!r} says more than memory can use: write memory:// or memory://name."
            )
        return {"name": parts.netloc} if parts.netloc else {}


class MemoryDriver(BaseDriver):
    """Messages in this process's memory, for any number of event loops and threads.

    Args:
        settings: Names the store.
        options: Its namespace separates stores too.
        now_ms: The store's clock, Unix milliseconds that never go back; only the driver that opens
            a store first decides. After moving such a clock by hand, call `driver.store.wake()`.
    """

    def __init__(
        self,
        settings: MemorySettings,
        options: DriverOptions,
        *,
        now_ms: Callable[[], int] = unix_ms,
    ) -> None:
        self.settings = settings
        self.options = options
        self._key = (options.namespace, settings.name)
        self._now_ms = now_ms
        self._store: MemoryStore | None = None
        self.dead_letters = MemoryDeadLetters(self)
        self.results = MemoryResults(self)
        self.control = MemoryControl(self)

    @property
    def capabilities(self) -> Capabilities:
        """All there is, but migrations."""
        return CAPABILITIES

    @property
    def is_open(self) -> bool:
        """Whether `open` was awaited, and `close` not since."""
        return self._store is not None

    @property
    def store(self) -> MemoryStore:
        """The store; raises `DriverError` while the driver is not open."""
        if self._store is None:
            raise DriverError("The memory driver is not open: await its open() first.")
        return self._store

    async def open(self) -> None:
        """Find the store of this name and namespace, or make it."""
        with _STORES_LOCK:
            self._store = _STORES.setdefault(self._key, MemoryStore(self._now_ms))

    async def close(self) -> None:
        """Let go of the store, which stays as it is."""
        self._store = None

    def forget(self) -> None:
        """Drop the store, and what is in it, for every driver that shares it."""
        with _STORES_LOCK:
            _STORES.pop(self._key, None)
        self._store = None

    async def ping(self) -> None:
        """Succeed if the driver is open."""
        _ = self.store

    async def provision(self, queues: Sequence[str]) -> None:
        """Remember the queues."""
        store = self.store
        with store.lock:
            store.provisioned.update(queues)

    async def enqueue(self, messages: Sequence[Message]) -> Sequence[int]:
        """Store messages, all or none."""
        return self.store.enqueue(messages)

    @asynccontextmanager
    async def consumer(self, options: ConsumerOptions) -> AsyncGenerator[Consumer]:
        """Open a consumer; it needs to know nothing of its options."""
        yield MemoryConsumer(self.store)

    @asynccontextmanager
    async def keeper(self) -> AsyncGenerator[LeaseKeeper]:
        """Open a keeper, in any loop."""
        yield MemoryKeeper(self.store)

    async def maintain(self) -> None:
        """Reclaim expired leases and drop outlived results."""
        self.store.maintain()

    async def stats(self, queues: Sequence[str]) -> Sequence[QueueStats]:
        """Count queues; looks at every message for each of them."""
        store = self.store
        return [store.stats(queue) for queue in queues]

    async def purge(self, queue: str) -> int:
        """Delete what is ready or delayed; looks at every message."""
        return self.store.purge(queue)


class MemoryConsumer:
    """Takes messages; any number of its methods may run at once."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._waiting: set[LoopWaiter] = set()

    async def lease(
        self,
        queues: Sequence[str],
        limit: int,
        *,
        wait_ms: int,
        lease_id: bytes,
        visibility_ms: int,
    ) -> Sequence[Lease]:
        """Hand out messages. Nothing is awaited once they are taken, so cancelling loses none."""
        waiter = LoopWaiter()
        self._waiting.add(waiter)
        try:
            return await waiter.until(
                self._store,
                lambda: self._store.lease(queues, limit, lease_id, visibility_ms),
                wait_ms,
            )
        finally:
            self._waiting.discard(waiter)

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[int]:
        """End leases."""
        return self._store.settle(settlements)

    async def recover(self, lease_id: bytes) -> Sequence[Lease]:
        """Return what a lease id holds; looks at every message."""
        return self._store.recover(lease_id)

    def interrupt(self) -> None:
        """Make every waiting `lease` of this consumer return now."""
        for waiter in self._waiting:
            waiter.interrupt()


class MemoryKeeper:
    """Renews leases, from a loop of its own."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def extend(self, leases: Sequence[Lease], visibility_ms: int) -> Sequence[Extension]:
        """Let leases hold for `visibility_ms` from now."""
        return self._store.extend(leases, visibility_ms)


_: type[Driver] = MemoryDriver
