"""What the errors of RabbitMQ and of its client mean to core."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aiormq import exceptions as amqp
from async_task.spi.errors import (
    AccessDeniedError,
    ConfigurationError,
    ConnectionLostError,
    DriverError,
    DriverTimeoutError,
    OutcomeUnknownError,
)
from pamqp.exceptions import PAMQPException

if TYPE_CHECKING:
    from collections.abc import Generator

_OF_THE_CLIENT = (amqp.AMQPError, PAMQPException, OSError)
_NOT_TAKEN = (
    amqp.ChannelAccessRefused,
    amqp.ChannelPreconditionFailed,
    amqp.ChannelLockedResource,
    amqp.ChannelNotFoundEntity,
)
_TOOK_BACK = "delivery acknowledgement on channel"
"""What RabbitMQ 3.10 to 4.x says then; other failed preconditions are those of declarations."""


class NoQueueError(DriverError):
    """There is no such queue or exchange; nothing was stored or taken."""


@contextmanager
def meaning(what: str, *, write: bool = False) -> Generator[None]:
    """Turn what the client raises inside into errors of ours.

    aiormq cancels what waits when a connection closes: a `CancelledError` that nobody asked for
    says that the connection was lost.

    Args:
        what: The call, for messages: `"a ping"`.
        write: It changes something, so that without an answer its outcome is unknown.
    """
    try:
        yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise _lost(what, "it was closed", write=write) from error
    except TimeoutError as error:
        if write:
            raise OutcomeUnknownError(f"RabbitMQ did not answer {what} in time") from error
        raise DriverTimeoutError(f"RabbitMQ did not answer {what} in time") from error
    except _OF_THE_CLIENT as error:
        raise _translated(error, what, write=write) from error
    except RuntimeError as error:
        closed = isinstance(error, amqp.ChannelInvalidStateError)
        if not closed and not str(error).endswith(" closed"):  # what aiormq says of a connection
            raise
        raise _lost(what, "it was closed before", write=False) from error  # it was not even sent


def _translated(error: Exception, what: str, *, write: bool) -> Exception:
    if (reason := _certificates(error)) is not None:
        return ConfigurationError(f"RabbitMQ over TLS, {what}: {reason}")
    if isinstance(error, amqp.ProbableAuthenticationError | amqp.AuthenticationError):
        return AccessDeniedError(
            f"RabbitMQ does not take user and password of rabbitmq_url at {what}"
        )
    # What RabbitMQ says to a virtual host, aiormq 7.2 takes for a mistake of RabbitMQ's.
    if isinstance(error, amqp.ConnectionNotAllowed) or "Connection.OpenOk" in _said(error):
        return ConfigurationError(
            f"RabbitMQ refuses {what}; check the virtual host in rabbitmq_url: it has to be there, "
            "and its user needs permissions for it"
        )
    if isinstance(error, _NOT_TAKEN) and not took_back(error):
        return _refused(error, what)
    return _lost(what, _said(error), write=write)


def took_back(error: BaseException) -> bool:
    """Whether RabbitMQ closed a channel because a message was held for too long.

    It says so to whatever is asked on that channel in this moment.
    """
    return isinstance(error, amqp.ChannelPreconditionFailed) and _TOOK_BACK in _said(error)


def _certificates(error: Exception) -> str | None:
    """Say what is wrong with a certificate, and what to do; `None` if it is something else."""
    if isinstance(error, ssl.SSLError | FileNotFoundError | PermissionError):
        # What the network does is an `AMQPConnectionError`; this was raised on reading files.
        return (
            f"a certificate cannot be read ({error}); check cafile, capath, certfile and keyfile "
            "of rabbitmq_url"
        )
    cause = error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not trusted ({cause.verify_message}); name its authority in "
            "rabbitmq_url by cafile=/path/to/ca.pem, and the host as the certificate does"
        )
    return None


def _refused(error: Exception, what: str) -> DriverError:
    if isinstance(error, amqp.ChannelNotFoundEntity):
        return NoQueueError(f"nothing of that name at {what}: {_said(error)}", retryable=True)
    if isinstance(error, amqp.ChannelAccessRefused):
        return AccessDeniedError(
            f"RabbitMQ does not allow {what}: {_said(error)}; give the user that permission, or "
            "set rabbitmq_passive=True if another account declares what is needed"
        )
    return DriverError(
        f"RabbitMQ refuses {what}: {_said(error)}; something else of that name is there: remove "
        "it, or choose another namespace or rabbitmq_exchange_name"
    )


def _lost(what: str, why: str, *, write: bool) -> DriverError:
    kind = OutcomeUnknownError if write else ConnectionLostError
    return kind(f"the connection to RabbitMQ was lost or cannot be made at {what}: {why}")


def _said(error: BaseException) -> str:
    return " ".join(str(each) for each in error.args) or type(error).__name__
