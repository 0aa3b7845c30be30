"""A driver by somebody else: lists in memory, searched from the front, and polling."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from async_task.spi.capabilities import Capabilities, Delay
from async_task.spi.driver import BaseDriver
from async_task.spi.errors import UnsupportedError
from async_task.spi.messages import Ack, Extension, Lease, Message, QueueStats, Reject
from async_task.spi.plugin import DriverInfo, hookimpl
from async_task.spi.reclaim import reclaim_delay_ms
from async_task.spi.settings import DriverSettings

CAPABILITIES = Capabilities(delay=Delay.MILLISECONDS, fence=True, atomic_settle=True)
POLL_S = 0.01
STORES: dict[tuple[str, str], list[Entry]] = {}


@hookimpl
def async_task_drivers() -> list[DriverInfo]:
    return [
        DriverInfo(
            name="toy",
            schemes=("toy",),
            factory="async_task_toy:ToyDriver",
            settings="async_task_toy:ToySettings",
            capabilities=CAPABILITIES,
            summary="A toy.",
            spi_version=1,
        )
    ]


@dataclass(frozen=True, kw_only=True)
class ToySettings(DriverSettings):
    url: str = "toy://"


@dataclass
class Entry:
    message: Message
    due: float
    expires: float
    state: bytes = b""
    deliveries: int = 0
    crashes: int = 0
    lease: Lease | None = None
    until: float = 0


def now_ms() -> float:
    return time.monotonic() * 1000


def current(store: list[Entry], lease: Lease) -> Entry | None:
    for entry in store:
        held = entry.lease
        if held is not None and (held.id, held.lease_id) == (lease.id, lease.lease_id):
            return entry
    return None


def reclaim(store: list[Entry]) -> None:
    now = now_ms()
    for entry in store:
        if entry.lease is not None and entry.until <= now:
            entry.lease = None
            entry.crashes += 1
            entry.due = now + reclaim_delay_ms(entry.crashes)


class ToyDriver(BaseDriver):
    capabilities = CAPABILITIES

    def __init__(self, settings: ToySettings, options: Any) -> None:
        self.store = STORES.setdefault((settings.url, options.namespace), [])

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def ping(self) -> None: ...

    async def enqueue(self, messages: Any) -> tuple[int, ...]:
        now = now_ms()
        for message in messages:
            expires_in = message.expires_in_ms
            expires = float("inf") if expires_in is None else now + expires_in
            self.store.append(Entry(message, now + message.delay_ms, expires))
        return ()

    @asynccontextmanager
    async def consumer(self, options: Any) -> Any:
        yield ToyConsumer(self.store)

    @asynccontextmanager
    async def keeper(self) -> Any:
        yield ToyKeeper(self.store)

    async def maintain(self) -> None:
        reclaim(self.store)

    async def stats(self, queues: Any) -> list[QueueStats]:
        now = now_ms()
        answer = []
        for queue in queues:
            here = [entry for entry in self.store if entry.message.queue == queue]
            waiting = [entry for entry in here if entry.lease is None]
            ready = sum(entry.due <= now for entry in waiting)
            leased = len(here) - len(waiting)
            answer.append(QueueStats(queue, ready, len(waiting) - ready, leased, None, None))
        return answer

    async def purge(self, queue: str) -> int:
        doomed = [e for e in self.store if e.message.queue == queue and e.lease is None]
        for entry in doomed:
            self.store.remove(entry)
        return len(doomed)


class ToyConsumer:
    def __init__(self, store: list[Entry]) -> None:
        self.store = store
        self.interruptions = 0

    async def lease(
        self, queues: Any, limit: int, *, wait_ms: int, lease_id: bytes, visibility_ms: int
    ) -> list[Lease]:
        end, interruptions = now_ms() + wait_ms, self.interruptions
        while True:
            leases = self.look(queues, limit, lease_id, visibility_ms)
            if leases or now_ms() >= end or interruptions != self.interruptions:
                return leases
            await asyncio.sleep(POLL_S)

    def look(self, queues: Any, limit: int, lease_id: bytes, visibility_ms: int) -> list[Lease]:
        reclaim(self.store)
        now = now_ms()
        leases: list[Lease] = []
        for queue in queues:
            for entry in sorted(self.store, key=lambda entry: entry.due):
                message = entry.message
                waits = message.queue == queue and entry.lease is None and entry.due <= now
                if waits and len(leases) < limit:
                    entry.deliveries += 1
                    entry.until = now + visibility_ms
                    entry.lease = Lease(
                        *(message.id, message.queue, message.body, lease_id),
                        *(entry.deliveries, entry.crashes, entry.state),
                        expired=now > entry.expires,
                    )
                    leases.append(entry.lease)
        return leases

    async def settle(self, settlements: Any) -> list[int]:
        stale = []
        for position, settlement in enumerate(settlements):
            entry = current(self.store, settlement.lease)
            if entry is None:
                stale.append(position)
            elif isinstance(settlement, Ack | Reject):  # it keeps no dead letters
                self.store.remove(entry)
            else:
                entry.lease, entry.state = None, settlement.state
                entry.due = now_ms() + settlement.delay_ms
        return stale

    async def recover(self, lease_id: bytes) -> list[Lease]:
        what = "The toy driver recovers no leases."
        raise UnsupportedError(what, capability="recoverable_lease", driver="toy")

    def interrupt(self) -> None:
        self.interruptions += 1


class ToyKeeper:
    def __init__(self, store: list[Entry]) -> None:
        self.store = store

    async def extend(self, leases: Any, visibility_ms: int) -> list[Extension]:
        answers = []
        for lease in leases:
            entry = current(self.store, lease)
            if entry is not None:
                entry.until = now_ms() + visibility_ms
            answers.append(Extension.LOST if entry is None else Extension.HELD)
        return answers
