"""Every exception async-task raises on purpose, under one root.

A class exists only where a caller would branch on it; everything else is data in attributes. A
message says what happened, to what, and what to do about it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class AsyncTaskError(Exception):
    """Root of all errors of this project."""


class ConfigurationError(AsyncTaskError):
    """A setting, a declaration or the environment is wrong; nothing was stored or run."""


class UnknownDriverError(ConfigurationError):
    """No installed driver has that name or URL scheme; the message says what to install."""


class PluginError(ConfigurationError):
    """A plug-in cannot be loaded, or what it declares cannot be resolved."""


class PluginConflictError(PluginError):
    """Two plug-ins declare the same name."""


class IncompatiblePluginError(PluginError):
    """A plug-in was built for another version of the driver interface."""


class UnsupportedError(AsyncTaskError):
    """The driver cannot do what was asked.

    Attributes:
        capability: The field of `Capabilities` or the facet that is missing.
        driver: Name of the driver that lacks it.
    """

    def __init__(self, message: str, *, capability: str, driver: str) -> None:
        super().__init__(message)
        self.capability = capability
        self.driver = driver


class DriverError(AsyncTaskError):
    """The backend refused or failed, and certainly stored nothing of the call.

    The client library's own exception is the `__cause__`.

    Attributes:
        retryable: Whether the same call may succeed later without anybody changing anything.
        retry_after_ms: How long the backend asked to wait, if it said.
    """

    def __init__(
        self, message: str, *, retryable: bool = False, retry_after_ms: int | None = None
    ) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.retry_after_ms = retry_after_ms


class _RetryableDriverError(DriverError):
    def __init__(
        self, message: str, *, retryable: bool = True, retry_after_ms: int | None = None
    ) -> None:
        super().__init__(message, retryable=retryable, retry_after_ms=retry_after_ms)


class ConnectionLostError(_RetryableDriverError):
    """The backend cannot be reached; the call was not sent or certainly not carried out."""


class DriverTimeoutError(_RetryableDriverError):
    """The backend did not take the call in time; it was certainly not carried out."""


class ThrottledError(_RetryableDriverError):
    """The backend asked to slow down."""


class OutcomeUnknownError(_RetryableDriverError):
    """The call may or may not have been carried out.

    Repeating it with the same message ids (or lease ids) is safe wherever the driver declares
    `idempotent_enqueue` (`fence`); elsewhere it may store a second copy.
    """


class AccessDeniedError(DriverError):
    """The backend knows us and says no."""


class MessageTooLargeError(DriverError):
    """A body exceeds what the backend or the configured limit takes; nothing was stored."""


class EnqueueError(DriverError):
    """Part of a batch was not stored.

    Attributes:
        failures: Position in the batch -> its own error. An `OutcomeUnknownError` there means that
            message may be stored; any other error that it is not. Positions not named are stored.
    """

    def __init__(self, message: str, failures: Mapping[int, DriverError]) -> None:
        super().__init__(
            message, retryable=bool(failures) and all(e.retryable for e in failures.values())
        )
        self.failures = failures


class LeaseLostError(AsyncTaskError):
    """The lease of a running attempt ended: its outcome will be discarded."""


class SerializationError(AsyncTaskError):
    """Bytes and values do not convert into each other."""


class EncodeError(SerializationError):
    """A value has no wire form; `path` says which one, for example `args[0].items[3]`.

    Attributes:
        path: Where the value sits, in Python's own notation.
    """

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class DecodeError(SerializationError):
    """Bytes are not what we write, or exceed a decoder limit."""


class UnknownTaskError(SerializationError):
    """No task of that name (or envelope of that version) is known to this process."""


class TaskError(AsyncTaskError):
    """Something about one task or one attempt of it."""


class TaskArgumentsError(TaskError, TypeError):
    """The arguments do not fit the task's signature; nothing was stored."""


class TaskTimeoutError(TaskError, TimeoutError):
    """An attempt ran longer than the task's `timeout`."""


class TaskFailedError(TaskError):
    """The task whose result was awaited was given up on.

    Attributes:
        reason: The `DeadReason`.
        type: Qualified name of the class of its last exception.
        traceback: The innermost frames of it, as text.
    """

    def __init__(self, message: str, *, reason: str, type: str, traceback: str) -> None:  # noqa: A002 - the attribute's name
        super().__init__(message)
        self.reason = reason
        self.type = type
        self.traceback = traceback


class ResultNotReadyError(TaskError, TimeoutError):
    """The task has not ended in the time given."""


class TaskCancelledError(TaskError):
    """The task was cancelled, by `cancel()` or from inside."""


class TaskExpiredError(TaskError):
    """The task was not started within its `expires_in`."""


class TaskCrashedError(TaskError):
    """The task's process died under it more often than a task may do that."""
