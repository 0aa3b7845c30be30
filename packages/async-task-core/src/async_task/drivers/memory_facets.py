"""The optional halves of the memory driver, on the data of its store."""

from __future__ import annotations

from heapq import nsmallest
from typing import TYPE_CHECKING

from async_task.drivers.memory_waiter import LoopWaiter
from async_task.spi.messages import Message, MessageState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from async_task.drivers.memory import MemoryDriver
    from async_task.drivers.memory_store import MemoryStore
    from async_task.spi.messages import DeadLetter, StoredResult


class MemoryDeadLetters:
    """Rejected messages; `browse` and a whole `purge` look at all of them."""

    def __init__(self, driver: MemoryDriver) -> None:
        self._driver = driver

    async def browse(
        self, queue: str, *, limit: int, after: bytes | None = None
    ) -> Sequence[DeadLetter]:
        """Read a page, in order of id."""
        store = self._driver.store
        with store.lock:
            here = (
                letter
                for letter in store.dead.values()
                if letter.queue == queue and (after is None or letter.id > after)
            )
            return nsmallest(limit, here, key=lambda letter: letter.id)

    async def get(self, queue: str, ids: Sequence[bytes]) -> Sequence[DeadLetter | None]:
        """Read by id."""
        store = self._driver.store
        with store.lock:
            return [_dead_letter(store, queue, message_id) for message_id in ids]

    async def requeue(self, queue: str, states: Mapping[bytes, bytes]) -> int:
        """Move back to the queue, with counters at 0."""
        store = self._driver.store
        moved = 0
        with store.lock:
            now = store.now_ms()
            for message_id, state in states.items():
                letter = _dead_letter(store, queue, message_id)
                if letter is None:
                    continue
                del store.dead[message_id]
                message = Message(message_id, queue, letter.body, letter.priority)
                store.add(message, now, now, state=state)
                moved += 1
            store.wake()
        return moved

    async def purge(self, queue: str, ids: Sequence[bytes] | None = None) -> int:
        """Delete those named, or all."""
        store = self._driver.store
        with store.lock:
            doomed = {
                message_id
                for message_id in (list(store.dead) if ids is None else ids)
                if _dead_letter(store, queue, message_id) is not None
            }
            for message_id in doomed:
                del store.dead[message_id]
            return len(doomed)


class MemoryResults:
    """Outcomes; reading them costs no more than naming them."""

    def __init__(self, driver: MemoryDriver) -> None:
        self._driver = driver

    async def put(self, results: Mapping[bytes, StoredResult]) -> None:
        """Store results."""
        store = self._driver.store
        with store.lock:
            for message_id, result in results.items():
                store.keep(message_id, result)

    async def get(self, ids: Sequence[bytes]) -> Sequence[bytes | None]:
        """Read results."""
        found = _results(self._driver.store, ids)
        return [found.get(message_id) for message_id in ids]

    async def wait(self, ids: Sequence[bytes], *, wait_ms: int) -> Mapping[bytes, bytes]:
        """Wait for the first of `ids`."""
        store = self._driver.store
        return await LoopWaiter().until(store, lambda: (_results(store, ids), None), wait_ms)


class MemoryControl:
    """Single messages and whole queues; `queues` looks at every message."""

    def __init__(self, driver: MemoryDriver) -> None:
        self._driver = driver

    async def queues(self) -> Sequence[str]:
        """List the queues."""
        store = self._driver.store
        with store.lock:
            holding = {stored.message.queue for stored in store.messages.values()}
            dead = {letter.queue for letter in store.dead.values()}
            return sorted(store.provisioned | holding | dead)

    async def status(self, ids: Sequence[bytes]) -> Sequence[MessageState | None]:
        """Say where messages are."""
        store = self._driver.store
        with store.lock:
            return [_state(store, message_id) for message_id in ids]

    async def cancel(self, ids: Sequence[bytes]) -> Sequence[MessageState | None]:
        """Cancel messages, and say where they were."""
        store = self._driver.store
        states: list[MessageState | None] = []
        with store.lock:
            for message_id in ids:
                state = _state(store, message_id)
                states.append(state)
                if state is MessageState.LEASED:
                    store.messages[message_id].cancelled = True
                elif state in (MessageState.READY, MessageState.DELAYED):
                    del store.messages[message_id]
        return states

    async def pause(self, queue: str) -> None:
        """Stop handing out a queue."""
        store = self._driver.store
        with store.lock:
            store.paused.add(queue)

    async def resume(self, queue: str) -> None:
        """Hand out a queue again."""
        store = self._driver.store
        with store.lock:
            store.paused.discard(queue)
            store.wake()

    async def paused(self) -> Sequence[str]:
        """List the paused queues."""
        store = self._driver.store
        with store.lock:
            return sorted(store.paused)


def _dead_letter(store: MemoryStore, queue: str, message_id: bytes) -> DeadLetter | None:
    letter = store.dead.get(message_id)
    return letter if letter is not None and letter.queue == queue else None


def _results(store: MemoryStore, ids: Sequence[bytes]) -> dict[bytes, bytes]:
    with store.lock:
        now = store.now_ms()
        kept = ((message_id, store.results.get(message_id)) for message_id in ids)
        return {message_id: entry[1] for message_id, entry in kept if entry and entry[0] > now}


def _state(store: MemoryStore, message_id: bytes) -> MessageState | None:
    stored = store.messages.get(message_id)
    if stored is None:
        return MessageState.DEAD if message_id in store.dead else None
    if stored.lease is not None:
        return MessageState.LEASED
    return MessageState.READY if stored.due_ms <= store.now_ms() else MessageState.DELAYED
