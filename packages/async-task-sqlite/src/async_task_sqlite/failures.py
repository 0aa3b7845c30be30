"""What SQLite's errors mean to core."""

from __future__ import annotations

import sqlite3

from async_task.spi.errors import (
    AccessDeniedError,
    ConfigurationError,
    DriverError,
    DriverTimeoutError,
    MessageTooLargeError,
    OutcomeUnknownError,
)

_TRY_AGAIN = {
    sqlite3.SQLITE_FULL: "the disk is full; free some space",
    sqlite3.SQLITE_IOERR: "the disk cannot be read or written; check it and its file system",
    sqlite3.SQLITE_READONLY: "it cannot be written; check its permissions, its directory's, and "
    "the mount",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check that its directory exists and that both "
    "can be written",
    sqlite3.SQLITE_NOMEM: "the process is out of memory",
    sqlite3.SQLITE_PROTOCOL: "its locks cannot be taken; check that it is on a local file system",
}


def code(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code, or 0 for an error that the module itself raised."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def is_busy(error: sqlite3.Error) -> bool:
    """Tell whether another connection was in the way and the same may work in a moment."""
    return code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def translate(error: sqlite3.Error, path: str) -> ConfigurationError | DriverError:
    """Say what a failure before COMMIT means: nothing was stored."""
    kind = code(error)
    if remedy := _TRY_AGAIN.get(kind):
        return DriverError(f"{path}: {remedy} (SQLite: {error})", retryable=True)
    if kind in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return ConfigurationError(
            f"{path} is not a sound SQLite database ({error}); set sqlite_path to another file, or "
            "move this one away together with its -wal and -shm and restore it from a copy"
        )
    if kind in (sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return AccessDeniedError(f"{path}: SQLite may not do that ({error}); check its permissions")
    if kind == sqlite3.SQLITE_TOOBIG:
        return MessageTooLargeError(f"{path}: SQLite takes rows of up to 1 GB ({error})")
    if kind == sqlite3.SQLITE_INTERRUPT:
        return DriverTimeoutError(f"{path}: the call took longer than op_timeout")
    return DriverError(f"{path}: SQLite refused: {error}")


def translate_commit(error: sqlite3.Error, path: str) -> ConfigurationError | DriverError:
    """Say what a failed COMMIT means.

    A full disk stopped the write before the commit record. After anything else the record may be in
    the log, and the next process to open the file would find it there.
    """
    if code(error) == sqlite3.SQLITE_FULL:
        return translate(error, path)
    return OutcomeUnknownError(
        f"{path}: SQLite cannot tell whether the transaction was stored ({error}); "
        "repeating the call is safe"
    )
