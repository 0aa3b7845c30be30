"""What the errors of SQS and of its client mean to core."""

from __future__ import annotations

from typing import Any

from async_task.spi.errors import (
    AccessDeniedError,
    ConnectionLostError,
    DriverError,
    MessageTooLargeError,
    OutcomeUnknownError,
    ThrottledError,
)
from botocore import exceptions as boto

_THROTTLED = frozenset(
    {
        "KmsThrottled",
        "OverLimit",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequestsException",
    }
)
_DENIED = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSecurity",
        "InvalidSignatureException",
        "KmsAccessDenied",
        "MissingAuthenticationToken",
        "NotAuthorized",
        "OptInRequired",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_NO_QUEUE = frozenset({"NonExistentQueue", "QueueDoesNotExist"})
_NEVER_SENT = (
    boto.EndpointConnectionError,
    boto.ConnectTimeoutError,
    boto.ProxyConnectionError,
    boto.SSLError,
)
_NO_CREDENTIALS = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.TokenRetrievalError,
)


class NoQueueError(DriverError):
    """The queue does not exist; nothing was stored or taken."""


class EntryRefusedError(DriverError):
    """SQS calls one entry of a batch the sender's mistake: the receipt of an ended lease, say."""


def answered(error: boto.ClientError, what: str) -> DriverError:
    """Say what an error reply to a whole call means."""
    details: Any = error.response
    status = details.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    found = details.get("Error", {})
    made = _meaning(str(found.get("Code", "")), str(found.get("Message", "")), what)
    if made is None and status >= 500:
        made = OutcomeUnknownError(f"SQS failed ({status}) at {what}: {error}")
    return made or DriverError(f"SQS refused {what}: {error}")


def refused(entry: Any, what: str) -> DriverError:
    """Say what a failed entry of a batch means."""
    code, text = str(entry.get("Code", "")), str(entry.get("Message", ""))
    made = _meaning(code, text, what)
    if made is None and entry.get("SenderFault"):
        return EntryRefusedError(f"SQS refused {what}: {code} {text}")
    return made or DriverError(f"SQS failed at {what}: {code} {text}", retryable=True)


def broken(error: Exception, what: str) -> DriverError:
    """Say what an error of the client itself means: was the call sent?"""
    if isinstance(error, _NEVER_SENT):
        return ConnectionLostError(f"SQS cannot be reached for {what}: {error}")
    if isinstance(error, _NO_CREDENTIALS):
        return AccessDeniedError(
            f"no AWS credentials for {what}: {error}; set aws_access_key_id and "
            "aws_secret_access_key, or give this process a profile or role"
        )
    return OutcomeUnknownError(f"no answer of SQS to {what}: {error}")


def _meaning(code: str, text: str, what: str) -> DriverError | None:
    code = code.rpartition(".")[2]
    if code in _THROTTLED:
        return ThrottledError(f"SQS asks to slow down at {what}: {code} {text}")
    if code in _DENIED:
        return AccessDeniedError(
            f"AWS does not allow {what}: {code} {text}; check the credentials and the policy"
        )
    if code == "QueueDeletedRecently":
        return DriverError(f"SQS makes no queue of that name yet at {what}: {text}", retryable=True)
    if code in _NO_QUEUE:
        return NoQueueError(f"no such queue at {what}")
    if code == "BatchRequestTooLong" or "must be shorter than" in text:
        return MessageTooLargeError(
            f"too large for its queue at {what}: {text}; lower sqs_max_message_bytes to the "
            "queue's MaximumMessageSize, or raise that"
        )
    return None
