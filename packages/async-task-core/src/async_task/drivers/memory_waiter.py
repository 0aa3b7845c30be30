"""Waiting for the memory store in an event loop, and being woken from any thread."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from async_task.drivers.memory_store import MemoryStore

SeenT = TypeVar("SeenT", bound="Collection[Any]")


class LoopWaiter:
    """One call waiting in one event loop; made there, woken from anywhere."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        self._interrupted = False

    def wake(self) -> None:
        """Make it look again."""
        with suppress(RuntimeError):  # its loop was closed under it: nobody waits there any more
            self._loop.call_soon_threadsafe(self._woken.set)

    def interrupt(self) -> None:
        """Make it return with what it has."""
        self._interrupted = True
        self.wake()

    async def until(
        self, store: MemoryStore, look: Callable[[], tuple[SeenT, int | None]], wait_ms: int
    ) -> SeenT:
        """Look until there is something to see, or `wait_ms` have passed.

        Args:
            store: What is looked at.
            look: Returns what it sees and in how many milliseconds time alone may change that.
                Nothing is awaited between it and the return, so cancelling loses nothing.
            wait_ms: 0 to look once.
        """
        end = self._loop.time() + wait_ms / 1000
        with store.waiting(self):  # before looking, or a change in between would be missed
            while True:
                self._woken.clear()
                seen, change_ms = look()
                left = end - self._loop.time()
                if seen or left <= 0 or self._interrupted:
                    return seen
                if change_ms is not None:
                    left = min(left, change_ms / 1000)
                try:
                    async with asyncio.timeout(left):
                        await self._woken.wait()
                except TimeoutError:
                    continue
