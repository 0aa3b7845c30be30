"""What a failed call means to core."""

from __future__ import annotations

from typing import Final

from async_task.spi.errors import (
    AccessDeniedError,
    ConfigurationError,
    ConnectionLostError,
    DriverError,
    DriverTimeoutError,
    OutcomeUnknownError,
)
from pymysql.err import MySQLError

CLIENT_ERRORS = (MySQLError, OSError, TimeoutError)
"""What aiomysql raises on purpose."""

DEADLOCK: Final = 1213
NO_SUCH_TABLE: Final = 1146

_DUPLICATE: Final = 1062
_LOCK_WAIT: Final = 1205
_TOO_SLOW: Final = (1969, 3024)
"""The server's own bound of a statement: MariaDB's, MySQL's."""

_ENDING: Final = (1053, 1317, 1927, 3169, 4031)
"""The server shuts down, or ended this call or session: what it had committed, it does not say."""

_BUSY: Final = (1040, 1041, 1203, 1226, 1021, 1114, 1129, 1047, 1180, 3100)
"""Connections, memory, quotas, disks; a cluster without quorum."""

_READ_ONLY: Final = (1290, 1792, 1836)
"""The server only reads: after a failover this connection leads to the wrong one."""

_UNDEFINED: Final = (NO_SUCH_TABLE, 1054)
_DENIED: Final = (1044, 1045, 1142, 1143, 1227, 1370, 1698, 3118)
_TOO_LARGE: Final = 1153


def code_of(error: BaseException) -> int:
    """Return the number of an error of the server or the client library, or 0."""
    code = error.args[0] if isinstance(error, MySQLError) and error.args else 0
    return code if isinstance(code, int) else 0


def is_refusal(error: BaseException) -> bool:
    """Tell whether the server itself said no; the client library's own errors are 2000 to 2999."""
    code = code_of(error)
    return code not in (0, *_ENDING) and not 2000 <= code < 3000


def is_usable_after(error: BaseException) -> bool:
    """Tell whether the connection can go on after this refusal."""
    return is_refusal(error) and code_of(error) not in (_TOO_LARGE, *_READ_ONLY)


def translate(error: BaseException, place: str) -> DriverError:
    """Say what a refusal means."""
    code, text = code_of(error), text_of(error)
    if code in _TOO_SLOW:
        return DriverTimeoutError(f"{place} ended the call after op_timeout ({text})")
    if code == _LOCK_WAIT:
        return DriverTimeoutError(
            f"{place}: {text}; a transaction, of a task perhaps, held a row for all of op_timeout"
        )
    if code in _READ_ONLY:
        return DriverError(
            f"{place} only reads ({text}); mysql_dsn must lead to the primary", retryable=True
        )
    if code in _UNDEFINED:
        return DriverError(f"{place}: {text}; run `async-task migrate` to make the tables")
    if code in _DENIED:
        return AccessDeniedError(f"{place}: {text}; grant the user what it needs")
    return DriverError(f"{place}: {text}", retryable=code in (DEADLOCK, *_BUSY))


def translate_connect(error: BaseException, place: str) -> ConfigurationError | DriverError:
    """Say why no connection could be made."""
    code, text = code_of(error), text_of(error)
    if code in _DENIED:
        return AccessDeniedError(f"{place}: {text}; check user and password of mysql_dsn")
    if code == 1049:
        return ConfigurationError(f"{place}: {text}; create it, or correct mysql_dsn")
    if code in _BUSY:
        return DriverError(
            f"{place}: {text}; raise max_connections or lower mysql_max_pool_size", retryable=True
        )
    return ConnectionLostError(f"{place} cannot be reached ({text}); check that it runs")


def lost(place: str, *, writes: bool, late: bool) -> DriverError:
    """Say what a call without an answer means.

    Args:
        place: The server.
        writes: Whether the call might have stored something.
        late: Whether we gave up; else the connection broke.
    """
    what = "did not answer within op_timeout" if late else "broke the connection"
    if writes:
        return OutcomeUnknownError(f"{place} {what}; the call may or may not have been carried out")
    return DriverTimeoutError(f"{place} {what}") if late else ConnectionLostError(f"{place} {what}")


def is_duplicate(error: DriverError) -> bool:
    """Tell whether a row was refused because its key is there."""
    return error.__cause__ is not None and code_of(error.__cause__) == _DUPLICATE


def text_of(error: BaseException) -> str:
    """Return what an error says, without its number."""
    said = error.args[1] if len(error.args) > 1 else error
    return str(said) or type(error).__name__
