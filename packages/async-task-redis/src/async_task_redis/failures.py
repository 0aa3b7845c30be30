"""What Redis's errors mean to core."""

from __future__ import annotations

from typing import Final

from async_task.spi.errors import (
    AccessDeniedError,
    ConnectionLostError,
    DriverError,
)
from redis.exceptions import AuthenticationError, BusyLoadingError, RedisError, ResponseError

REFUSALS: Final = (ResponseError, AuthenticationError, BusyLoadingError)
"""What redis-py makes of an error that the server replied with; its others are the connection's."""

_TRY_AGAIN = {
    "OOM": "its memory is full: work messages off, or raise its maxmemory",
    "MISCONF": "it cannot write to its disk: make room there",
    "BUSY": "a script runs for too long; it goes on when that has ended",
    "NOREPLICAS": "too few replicas follow it (min-replicas-to-write)",
    "CLUSTERDOWN": "its cluster lacks a node",
    "TRYAGAIN": "its cluster is moving the queue to another node",
    "MASTERDOWN": "it follows a server that is down",
}
_MOVED_ON = frozenset({"READONLY", "LOADING", "MASTERDOWN"})


def moved_on(error: RedisError) -> bool:
    """Whether after this error the server may be another one: connect anew."""
    return _code_of(error) in _MOVED_ON


def refused(error: RedisError, server: str) -> DriverError:
    """Say what an error reply means: nothing of the call was stored."""
    code = _code_of(error)
    if code == "READONLY":
        made: DriverError = ConnectionLostError(f"{server} is a replica now, and takes no writes")
    elif code == "LOADING":
        made = ConnectionLostError(f"{server} is starting; it loads its data")
    elif code in _TRY_AGAIN:
        made = DriverError(f"{server} refused: {_TRY_AGAIN[code]} ({error})", retryable=True)
    elif code == "NOPERM" or isinstance(error, AuthenticationError):
        made = AccessDeniedError(
            f"{server} refused: {error}; check redis_password, the user in redis_url and its ACL"
        )
    else:
        made = DriverError(f"{server} refused: {error}")
    made.__cause__ = error
    return made


def _code_of(error: RedisError) -> str:
    """Return its first word, such as `OOM`; also of an error inside a script on Redis 6.2."""
    text = str(error)
    if text.startswith("Error running script"):
        _, _, text = text.rpartition(": -")
    elif error.status_code is not None:
        return error.status_code
    return text.partition(" ")[0]
