"""Prompt wake-up of those who wait for what was committed, here or in another process.

All of it is hints: a waiter looks again by itself, so a lost or superfluous one changes a delay and
nothing else.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from async_task_sqlite.mailboxes import Mailbox, Mailboxes

if TYPE_CHECKING:
    from collections.abc import Generator

MESSAGES = b"m"
RESULTS = b"r"

_POLL_S = 1.0
"""How often a waiter looks in spite of hints; what a lost one costs."""
_POLL_WITHOUT_MAILBOX_S = 0.05
"""How often it looks where hints from other processes cannot come."""


class Watch:
    """One waiter. Clear it, look, and wait only when there was nothing: no hint falls between."""

    def __init__(self, wakeup: Wakeup, kind: bytes) -> None:
        self.kind = kind
        self._wakeup = wakeup
        self._event = asyncio.Event()

    def set(self) -> None:
        """Make the wait that runs, or the next one, return at once."""
        self._event.set()

    def clear(self) -> None:
        """Forget what was heard so far."""
        self._wakeup.drain()
        self._event.clear()

    async def wait(self, seconds: float) -> None:
        """Wait for a hint, at most `seconds` and at most one poll interval."""
        with self._wakeup.listening() as interval, suppress(TimeoutError):
            async with asyncio.timeout(min(seconds, interval)):
                await self._event.wait()


class Wakeup:
    """The waiters of one driver, all in one event loop."""

    def __init__(self, path: str) -> None:
        self._directory = f"{path}-wake"
        self._others = Mailboxes(self._directory)
        self._watches: set[Watch] = set()
        self._listeners = 0
        self._mailbox: Mailbox | None = None
        self._can_hear = True

    @contextmanager
    def watch(self, kind: bytes) -> Generator[Watch, None, None]:
        """Return a context manager whose value hears of commits of one kind."""
        if self._mailbox is None and self._can_hear:
            try:
                self._mailbox = Mailbox(self._directory)
            except OSError:
                self._can_hear = False
        watch = Watch(self, kind)
        self._watches.add(watch)
        try:
            yield watch
        finally:
            self._watches.discard(watch)

    def announce(self, kinds: bytes) -> None:
        """Tell the other processes; called in the thread that committed."""
        mailbox = self._mailbox
        self._others.post(kinds, but="" if mailbox is None else mailbox.name)

    def signal(self, kinds: bytes) -> None:
        """Tell the waiters of this driver; called in the loop."""
        for watch in self._watches:
            if watch.kind in kinds:
                watch.set()

    def drain(self) -> None:
        """Pass on what has arrived from other processes."""
        if self._mailbox is not None:
            while kinds := self._mailbox.read():
                self.signal(kinds)

    @contextmanager
    def listening(self) -> Generator[float, None, None]:
        """Have hints from other processes delivered; the value is how often to look besides.

        Only while somebody waits: a busy worker must not be woken by every commit of others.
        """
        self._listeners += 1
        if self._listeners == 1 and self._mailbox is not None:
            try:
                asyncio.get_running_loop().add_reader(self._mailbox.end, self.drain)
            except NotImplementedError:  # an event loop of Windows
                self._mailbox, self._can_hear = None, False
        try:
            interval = _POLL_WITHOUT_MAILBOX_S if self._mailbox is None else _POLL_S
            yield interval * random.uniform(0.8, 1)  # noqa: S311 - no secret
        finally:
            self._listeners -= 1
            if self._listeners == 0 and self._mailbox is not None:
                asyncio.get_running_loop().remove_reader(self._mailbox.end)

    def close(self) -> None:
        """Remove the mailbox, and let those who wait find out that nothing will come."""
        mailbox, self._mailbox = self._mailbox, None
        self._can_hear = True
        if mailbox is not None:
            if self._listeners:
                asyncio.get_running_loop().remove_reader(mailbox.end)
            mailbox.close()
        self.signal(MESSAGES + RESULTS)
