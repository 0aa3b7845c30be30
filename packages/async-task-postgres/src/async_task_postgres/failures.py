"""What a failed call means to core."""

from __future__ import annotations

import asyncpg
from async_task.spi.errors import (
    AccessDeniedError,
    ConfigurationError,
    ConnectionLostError,
    DriverError,
    DriverTimeoutError,
    OutcomeUnknownError,
)

CLIENT_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
"""What asyncpg raises."""

_TRY_AGAIN = ("40", "53", "55", "57", "58")
"""Classes of refusals that pass by themselves: conflicts, resources, locks, operators, disks."""

_ENDED = ("57P01", "57P02", "57P03", "57P05")
"""The server ends, starts, or ended this session; it had rolled back what it was doing."""

_STANDBY = "25006"
"""The server only reads: after a failover this connection leads to the wrong one."""

_UNDEFINED = ("42P01", "42703", "3F000")
"""No such table, column or schema."""


def is_refusal(error: BaseException) -> bool:
    """Tell whether the server itself said no, so that nothing was stored.

    Class 08 is no answer: asyncpg uses it for connections that broke, and so does PgBouncer for
    connections that broke behind it.
    """
    if isinstance(error, asyncpg.PostgresError):
        return not _state(error).startswith("08")
    return isinstance(error, asyncpg.DataError)


def is_usable_after(error: BaseException) -> bool:
    """Tell whether the connection can go on after this refusal."""
    return is_refusal(error) and _state(error) not in (*_ENDED, _STANDBY)


def translate(error: BaseException, place: str) -> DriverError:
    """Say what a refusal means."""
    state, text = _state(error), str(error)
    if state == "57014":
        return DriverTimeoutError(f"{place} ended the call after op_timeout ({text})")
    if state in _ENDED:
        return ConnectionLostError(f"{place} is not taking calls now ({text})")
    if state == _STANDBY:
        return DriverError(
            f"{place} only reads ({text}); the DSN must lead to the primary", retryable=True
        )
    if state in _UNDEFINED:
        return DriverError(f"{place}: {text}; run `async-task migrate` to make the tables")
    if state == "42501" or state.startswith("28"):
        return AccessDeniedError(f"{place}: {text}; grant the role what it needs")
    return DriverError(f"{place}: {text}", retryable=state.startswith(_TRY_AGAIN))


def translate_connect(error: BaseException, place: str) -> ConfigurationError | DriverError:
    """Say why no connection could be made."""
    state = _state(error)
    if state.startswith("28"):
        return AccessDeniedError(f"{place}: {error}; check user and password of postgres_dsn")
    if state == "3D000":
        return ConfigurationError(f"{place}: {error}; create it, or correct postgres_dsn")
    if isinstance(error, asyncpg.ClientConfigurationError):
        return ConfigurationError(f"postgres_dsn cannot be used: {error}")
    if state == "53300":
        return DriverError(
            f"{place}: {error}; raise max_connections or lower postgres_max_pool_size",
            retryable=True,
        )
    return ConnectionLostError(
        f"{place} cannot be reached ({str(error) or type(error).__name__}); check that it runs"
    )


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


def _state(error: BaseException) -> str:
    return str(getattr(error, "sqlstate", None) or "")
