"""Named pipes beside the file, one per waiting driver, that carry hints between processes.

They lie in the directory `<file>-wake`, each named after its owner's process. A byte written to one
wakes its owner alone, so that no process takes a hint away from another.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import time
import weakref
from contextlib import suppress

_FRESH_NS = 100_000_000
"""A directory changed more recently than this may change again within one tick of its clock."""


class Mailbox:
    """The reading end that belongs to one driver; removed with the object at the latest.

    Raises:
        OSError: There are no named pipes on this system or file system.
    """

    def __init__(self, directory: str) -> None:
        if not hasattr(os, "mkfifo"):
            raise OSError(errno.ENOSYS, "no named pipes on this system")
        self.name = f"{os.getpid()}-{secrets.token_hex(8)}"
        hidden, path = os.path.join(directory, f".{self.name}"), os.path.join(directory, self.name)
        os.makedirs(directory, exist_ok=True)
        os.mkfifo(hidden)
        try:
            # Opened for writing too, so that it never ends; and shown to writers only then, since
            # they take one that nobody reads for one left behind.
            self.end = os.open(hidden, os.O_RDWR | os.O_NONBLOCK)
            os.rename(hidden, path)
        except OSError:
            os.unlink(hidden)
            raise
        self.close = weakref.finalize(self, _remove, path, self.end, os.getpid())

    def read(self) -> bytes:
        """Return what has arrived, up to 4 KiB; `b""` for nothing."""
        try:
            return os.read(self.end, 4096)
        except BlockingIOError:
            return b""


class Mailboxes:
    """The writing ends of all the others; used in one thread."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._changed_ns = 0
        self._ends: dict[str, int] = {}
        weakref.finalize(self, _close_all, self._ends)

    def post(self, hints: bytes, *, but: str) -> None:
        """Write to every mailbox but one; costs a stat, and a write for each. Never raises."""
        try:
            changed_ns = os.stat(self._directory).st_mtime_ns
            if changed_ns != self._changed_ns or time.time_ns() - changed_ns < _FRESH_NS:
                self._look_around(but)
                self._changed_ns = changed_ns
        except OSError:
            return  # nobody has ever waited
        for name, end in list(self._ends.items()):
            try:
                os.write(end, hints)
            except BlockingIOError:
                pass  # full: its owner has enough to wake up for
            except OSError:
                os.close(self._ends.pop(name))
                self._unlink(name)

    def _look_around(self, but: str) -> None:
        names = {name for name in os.listdir(self._directory) if name[0] != "." and name != but}
        for name in self._ends.keys() - names:
            os.close(self._ends.pop(name))
        for name in names - self._ends.keys():
            path = os.path.join(self._directory, name)
            try:
                end = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
            except OSError as error:
                if error.errno == errno.ENXIO:  # its owner died without removing it
                    self._unlink(name)
                continue
            if stat.S_ISFIFO(os.fstat(end).st_mode):
                self._ends[name] = end
            else:
                os.close(end)

    def _unlink(self, name: str) -> None:
        with suppress(OSError):
            os.unlink(os.path.join(self._directory, name))


def _remove(path: str, end: int, pid: int) -> None:
    os.close(end)
    if pid == os.getpid():  # a fork holds a copy of the object, but the mailbox is not its own
        with suppress(OSError):
            os.unlink(path)


def _close_all(ends: dict[str, int]) -> None:
    for end in ends.values():
        os.close(end)
