"""One SQLite connection and its transactions; everything here runs in one thread."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from async_task.spi.errors import ConfigurationError, DriverTimeoutError

from async_task_sqlite.failures import is_busy, translate, translate_commit

if TYPE_CHECKING:
    from async_task_sqlite.schema import Schema

T = TypeVar("T")
Work: TypeAlias = Callable[[sqlite3.Connection], T]
"""What happens inside one transaction."""

_OLDEST = (3, 24, 0)
"""The first version with `ON CONFLICT ... DO UPDATE`."""

_BUSY_PAUSE_S = 0.001
"""Longest pause between two tries for the lock. Short and never growing, unlike SQLite's own
handler: who waits long must not try more rarely than who has just been served."""

_LOG_LIMIT_BYTES = 16 * 2**20
"""What a write-ahead log that grew (behind a long reader) shrinks to when it starts over."""


class Session:
    """A connection that is made on first use and again after the file failed or was replaced.

    Args:
        path: The file.
        schema: What to apply on connecting if it is pending; `None` to leave the file as it is.

    Attributes:
        deadline: Until when to try for a lock, as of `time.monotonic`; set by who calls.
    """

    def __init__(self, path: str, schema: Schema | None) -> None:
        self.deadline = 0.0
        self._path = path
        self._schema = schema
        self._db: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._durable = True

    def read(self, work: Work[T]) -> T:
        """Run `work` in a transaction that only reads and sees one state of the file."""
        return self._until_free(lambda db: self._transact(db, work, "BEGIN"))

    def write(self, work: Work[T], *, durable: bool = True) -> T:
        """Run `work` in a transaction that takes the write lock before anything else.

        Without the lock from the start, a transaction that reads and then writes fails as soon as
        another one wrote in between.

        Args:
            work: Called with the connection; again, after the transaction was undone, while others
                hold the lock.
            durable: Sync the log before returning. Without it a power failure, which also ends
                every process that uses the file, may undo the transaction.
        """

        def transact(db: sqlite3.Connection) -> T:
            if durable is not self._durable:
                db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                self._durable = durable
            return self._transact(db, work, "BEGIN IMMEDIATE")

        return self._until_free(transact)

    def interrupt(self) -> None:
        """Make the statement that is running fail; callable from any thread."""
        if (db := self._db) is not None:
            with suppress(sqlite3.ProgrammingError):  # closed meanwhile
                db.interrupt()

    def close(self) -> None:
        """Close the connection; the next `run` makes another."""
        db, self._db = self._db, None
        if db is not None:
            db.close()

    def _until_free(self, attempt: Work[T]) -> T:
        while True:
            try:
                return attempt(self._connected())
            except sqlite3.Error as error:
                if not is_busy(error):
                    self.close()
                    raise translate(error, self._path) from error
                if time.monotonic() >= self.deadline:
                    raise DriverTimeoutError(
                        f"{self._path} was locked by another process for the whole op_timeout"
                    ) from error
            time.sleep(random.uniform(0, _BUSY_PAUSE_S))  # noqa: S311 - no secret

    def _transact(self, db: sqlite3.Connection, work: Work[T], begin: str) -> T:
        db.execute(begin)
        try:
            result = work(db)
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        try:
            db.execute("COMMIT")
        except sqlite3.Error as error:
            if is_busy(error):
                db.execute("ROLLBACK")
                raise
            self.close()
            raise translate_commit(error, self._path) from error
        return result

    def _connected(self) -> sqlite3.Connection:
        if self._db is not None and self._file != _identity(self._path):
            self.close()  # replaced or deleted: what we wrote to it nobody would ever read
        if self._db is None:
            self._db = self._connect()
            self._file = _identity(self._path)
        return self._db

    def _connect(self) -> sqlite3.Connection:
        if sqlite3.sqlite_version_info < _OLDEST:
            raise ConfigurationError(
                f"SQLite {sqlite3.sqlite_version} is too old; use a Python built with "
                f"{'.'.join(map(str, _OLDEST))} or later"
            )
        db = sqlite3.connect(self._path, timeout=0, isolation_level=None)
        try:
            self._configure(db)
            self._durable = True
            if self._schema is not None and self._schema.pending(db):
                self._transact(db, self._schema.apply, "BEGIN IMMEDIATE")
        except BaseException:
            db.close()
            raise
        return db

    def _configure(self, db: sqlite3.Connection) -> None:
        (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise ConfigurationError(
                f"{self._path}: no write-ahead log here (journal_mode is {mode}); "
                "put the file on a local file system"
            )
        db.execute(f"PRAGMA journal_size_limit = {_LOG_LIMIT_BYTES}")
        db.execute("PRAGMA temp_store = MEMORY")
        db.execute("PRAGMA synchronous = FULL")


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
