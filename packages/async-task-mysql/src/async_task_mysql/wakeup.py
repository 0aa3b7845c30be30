"""How those who wait hear at once what the same driver did; the others look again and again."""

from __future__ import annotations

import asyncio
import random
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Generator

MESSAGES: Final = "messages"
RESULTS: Final = "results"

_FIRST_S, _LONGEST_S = 0.02, 0.25
"""Pauses between two looks: a look costs the server 0.6 ms, so a hundred waiting workers take a
quarter of one of its processors."""


class Wakeup:
    """The waiters of one driver."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Event, str] = {}

    @contextmanager
    def watch(self, kind: str) -> Generator[asyncio.Event]:
        """Yield an event that is set when something of a kind has come."""
        event = asyncio.Event()
        self._waiting[event] = kind
        try:
            yield event
        finally:
            del self._waiting[event]

    def announce(self, kind: str) -> None:
        """Wake who waits for this kind."""
        for event, awaited in self._waiting.items():
            if awaited == kind:
                event.set()


class Pauses:
    """Pauses that begin short and grow, each a little random, so that processes do not march."""

    def __init__(self) -> None:
        self._next_s = _FIRST_S

    def reset(self) -> None:
        """Begin with a short one again."""
        self._next_s = _FIRST_S

    async def pause(self, came: asyncio.Event, at_most_s: float) -> None:
        """Wait for the event, at most for a pause."""
        pause_s = self._next_s * random.uniform(0.75, 1.25)  # noqa: S311 - jitter
        self._next_s = min(2 * self._next_s, _LONGEST_S)
        try:
            async with asyncio.timeout(min(pause_s, at_most_s)):
                await came.wait()
        except TimeoutError:
            pass
