"""Why a message is a dead letter."""

from __future__ import annotations

from enum import StrEnum


class DeadReason(StrEnum):
    """The `reason` of a dead letter."""

    FAILED = "failed"
    """It raised or timed out more often than `max_retries` permits, or must not be tried again."""
    POISON = "poison"
    """It took its process down again and again."""
    EXPIRED = "expired"
    """It was not started within `expires_in`."""
    BAD_PAYLOAD = "bad_payload"
    """Its bytes cannot be decoded, or are over the limit."""
    BAD_ARGUMENTS = "bad_arguments"
    """Its arguments do not fit the task's signature."""
    UNKNOWN_TASK = "unknown_task"
    """No worker knew the task for a whole day."""
    REJECTED = "rejected"
    """It rejected itself."""
