"""Prompt wake-up of waiters when something was committed, here or in another process of this host.

Each driver that waits keeps a named pipe of its own, its mailbox, in the directory `<file>-wake`;
whoever commits something worth waking for writes a byte to all of them. These are hints: a waiter
looks again by itself, so a lost or superfluous byte changes a delay and nothing else.
"""

from __future__ import annotations

import asyncio
import errno
import os
import random
import secrets
import stat
import time
import weakref
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

MESSAGES = b"m"
RESULTS = b"r"

_POLL_S = 1.0
"""How often a waiter looks in spite of hints; what a lost one costs."""
_POLL_WITHOUT_HINTS_S = 0.05
"""How often it looks where there are no named pipes."""
_FRESH_NS = 100_000_000
"""A directory changed more recently than this may change again within one tick of its clock."""


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
    """All waiters of one driver, in the event loop that opened it."""

    def __init__(self, path: str) -> None:
        self._directory = f"{path}-wake"
        self._watches: set[Watch] = set()
        self._listeners = 0
        self._mailbox: int | None = None
        self._interval = _POLL_WITHOUT_HINTS_S
        self._name = ""
        self._discard: weakref.finalize[..., Wakeup] | None = None
        self._others = Mailboxes(self._directory)

    @contextmanager
    def watch(self, kind: bytes) -> Generator[Watch, None, None]:
        """Return a context manager whose value hears of commits of one kind."""
        self._open()
        watch = Watch(self, kind)
        self._watches.add(watch)
        try:
            yield watch
        finally:
            self._watches.discard(watch)

    def announce(self, kinds: bytes) -> None:
        """Tell the other processes; called in the thread that committed."""
        self._others.post(kinds, but=self._name)

    def signal(self, kinds: bytes) -> None:
        """Tell the waiters of this driver; called in the loop."""
        for watch in self._watches:
            if watch.kind in kinds:
                watch.set()

    def drain(self) -> None:
        """Read what has arrived in the mailbox."""
        if self._mailbox is not None:
            with suppress(BlockingIOError):
                while kinds := os.read(self._mailbox, 4096):
                    self.signal(kinds)

    @contextmanager
    def listening(self) -> Generator[float, None, None]:
        """Have hints from other processes delivered; gives the poll interval needed besides.

        Only while somebody waits: a busy worker must not be woken by every commit of others.
        """
        loop = asyncio.get_running_loop()
        mailbox = self._mailbox
        if mailbox is not None and self._listeners == 0:
            try:
                loop.add_reader(mailbox, self.drain)
            except NotImplementedError:  # a Windows event loop
                self.close()
                mailbox = None
        self._listeners += 1
        try:
            yield self._interval * random.uniform(0.8, 1)  # noqa: S311 - no secret
        finally:
            self._listeners -= 1
            if mailbox is not None and self._listeners == 0 and self._mailbox is not None:
                loop.remove_reader(mailbox)

    def close(self) -> None:
        """Remove the mailbox."""
        if self._discard is not None:
            self._discard()
        self._discard = self._mailbox = None
        self._interval = _POLL_WITHOUT_HINTS_S

    def _open(self) -> None:
        if self._name and self._discard is not None:
            return
        self._name = f"{os.getpid()}-{secrets.token_hex(8)}"
        try:
            self._mailbox = _make_mailbox(self._directory, self._name)
        except (AttributeError, OSError):  # no named pipes on this system, or on this file system
            self._discard = weakref.finalize(self, _nothing)
            return
        self._interval = _POLL_S
        path = os.path.join(self._directory, self._name)
        self._discard = weakref.finalize(self, _remove_mailbox, path, self._mailbox, os.getpid())


class Mailboxes:
    """The writing ends; used in one thread."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._changed_ns = 0
        self._ends: dict[str, int] = {}
        weakref.finalize(self, _close_all, self._ends)

    def post(self, kinds: bytes, *, but: str) -> None:
        """Write `kinds` to every mailbox but one; costs a stat, and a write for each."""
        try:
            changed_ns = os.stat(self._directory).st_mtime_ns
            if changed_ns != self._changed_ns or time.time_ns() - changed_ns < _FRESH_NS:
                self._look_around(but)
                self._changed_ns = changed_ns
        except OSError:
            return  # nobody ever waited, or no longer
        for name, end in list(self._ends.items()):
            try:
                os.write(end, kinds)
            except BlockingIOError:
                pass  # full: its owner has enough to wake up for
            except OSError:
                self._forget(name)

    def _look_around(self, but: str) -> None:
        names = {name for name in os.listdir(self._directory) if name[0] != "." and name != but}
        for name in self._ends.keys() - names:
            os.close(self._ends.pop(name))
        for name in names - self._ends.keys():
            path = os.path.join(self._directory, name)
            try:
                end = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
            except OSError as error:
                if error.errno == errno.ENXIO:  # its owner died without removing it
                    with suppress(OSError):
                        os.unlink(path)
                continue
            if stat.S_ISFIFO(os.fstat(end).st_mode):
                self._ends[name] = end
            else:
                os.close(end)

    def _forget(self, name: str) -> None:
        os.close(self._ends.pop(name))
        with suppress(OSError):
            os.unlink(os.path.join(self._directory, name))


def _make_mailbox(directory: str, name: str) -> int:
    """Make a named pipe and open it, under its final name only when it has a reader."""
    os.makedirs(directory, exist_ok=True)
    hidden, path = os.path.join(directory, f".{name}"), os.path.join(directory, name)
    os.mkfifo(hidden)
    try:
        mailbox = os.open(hidden, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        os.rename(hidden, path)
    except OSError:
        os.unlink(hidden)
        raise
    return mailbox


def _remove_mailbox(path: str, mailbox: int, pid: int) -> None:
    os.close(mailbox)
    if pid == os.getpid():  # a fork holds a copy of the object; the mailbox is not its own
        with suppress(OSError):
            os.unlink(path)


def _close_all(ends: dict[str, int]) -> None:
    for end in ends.values():
        os.close(end)


def _nothing() -> None:
    pass
