"""What Redis's errors mean to core."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_task.spi.errors import (
    AccessDeniedError,
    ConnectionLostError,
    DriverError,
)

if TYPE_CHECKING:
    from async_task_redis.wire import ReplyError

_TRY_AGAIN = {
    "OOM": "its memory is full: work messages off, or raise its maxmemory",
    "MISCONF": "it cannot write to its disk: make room there",
    "BUSY": "a script runs for too long; it goes on when that has ended",
    "NOREPLICAS": "too few replicas follow it (min-replicas-to-write)",
    "CLUSTERDOWN": "its cluster lacks a node",
    "TRYAGAIN": "its cluster is moving the queue to another node",
    "MASTERDOWN": "it follows a server that is down",
}
MOVED_ON = frozenset({"READONLY", "LOADING", "MASTERDOWN"})
"""Errors after which the server may be another one: connect anew."""

_DENIED = frozenset({"NOAUTH", "WRONGPASS", "NOPERM"})


def refused(error: ReplyError, server: str) -> DriverError:
    """Say what an error reply means: nothing of the call was stored."""
    code = error.code
    if code == "READONLY":
        made: DriverError = ConnectionLostError(f"{server} is a replica now, and takes no writes")
    elif code == "LOADING":
        made = ConnectionLostError(f"{server} is starting; it loads its data")
    elif code in _TRY_AGAIN:
        made = DriverError(f"{server} refused: {_TRY_AGAIN[code]} ({error})", retryable=True)
    elif code in _DENIED or "invalid password" in str(error):
        made = AccessDeniedError(
            f"{server} refused: {error}; check redis_password, the user in redis_url and its ACL"
        )
    else:
        made = DriverError(f"{server} refused: {error}")
    made.__cause__ = error
    return made
