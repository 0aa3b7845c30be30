"""What to do with a message that was just leased: run it, put it back, or give up on it."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from async_task.core.clock import wall_ms
from async_task.core.envelope import unpack
from async_task.core.history import Failure, History
from async_task.core.ids import id_text
from async_task.core.reasons import DeadReason
from async_task.errors import (
    DecodeError,
    MessageTooLargeError,
    SerializationError,
    TaskCrashedError,
    TaskError,
    TaskExpiredError,
    UnknownTaskError,
)
from async_task.runtime.attempt import Attempt
from async_task.spi.messages import Lease, Reject, Release

if TYPE_CHECKING:
    from async_task.config import Config
    from async_task.core.definition import TaskDefinition, Terms
    from async_task.core.registry import Registry

log = logging.getLogger("async_task.worker")

SOLO_CRASHES: Final = 2
"""Crashes alone that prove a task to be poison."""
MAX_CRASHES: Final = 10
"""More crashes than this are poison whatever they were."""

_NO_HISTORY: Final = History()

UNKNOWN_FIRST_MS: Final = 5_000
UNKNOWN_LONGEST_MS: Final = 300_000
UNKNOWN_TOTAL_MS: Final = 24 * 3_600_000

LONGEST_LINE: Final = 300
"""How much of what a message says goes into the log."""


class Admission:
    """Judges leased messages. Pure but for the log; needs no event loop."""

    def __init__(self, registry: Registry, config: Config) -> None:
        self._registry = registry
        self._config = config
        self._said: dict[str, float] = {}
        self._terms: dict[TaskDefinition, Terms] = {}

    def judge(self, lease: Lease, deadline: float) -> Attempt | Release | Reject:
        """Return an attempt to run until `deadline`, or how to settle what cannot be run."""
        history = History.unpack(lease.state) if lease.state else _NO_HISTORY
        if len(lease.body) > self._config.max_body:
            error = MessageTooLargeError(f"over max_body, {self._config.max_body} bytes")
            return rejection(lease, history, DeadReason.BAD_PAYLOAD, error)
        try:
            envelope = unpack(lease.body)
            definition = self._registry.get(envelope.task)
        except UnknownTaskError as exc:
            return self._put_off(lease, history, exc)
        except DecodeError as exc:
            return rejection(lease, history, DeadReason.BAD_PAYLOAD, exc)
        terms = self._terms.get(definition)
        if terms is None:
            terms = self._terms[definition] = definition.options.terms(self._config)
        policy, timeout_s, result_ttl_ms = terms
        delay_ms = envelope.retry_delay_ms
        attempt = Attempt(
            lease,
            deadline,
            definition,
            envelope,
            history,
            policy if delay_ms is None else replace(policy, delay=delay_ms / 1000),
            timeout_s,
            result_ttl_ms,
        )
        if lease.state or lease.crashes or lease.expired:  # most messages have no past
            attempt.doom = _doom(attempt)
        return attempt

    def _put_off(
        self, lease: Lease, history: History, error: SerializationError
    ) -> Release | Reject:
        if history.unknown_ms >= UNKNOWN_TOTAL_MS:
            return rejection(lease, history, DeadReason.UNKNOWN_TASK, error)
        delay_ms = min(max(history.unknown_ms, UNKNOWN_FIRST_MS), UNKNOWN_LONGEST_MS)
        message, now = str(error)[:LONGEST_LINE], time.monotonic()
        if now >= self._said.get(message, 0.0):
            self._said = {said: until for said, until in self._said.items() if until > now}
            self._said[message] = now + 60
            log.warning("%s Put back uncharged; another worker may know it.", message)
        return Release(lease, delay_ms, history.put_off(delay_ms).pack())


def rejection(lease: Lease, history: History, reason: DeadReason, error: Exception) -> Reject:
    """Return the settlement that makes a message a dead letter, with `error` in its history."""
    failure = Failure.of(error, attempt=history.failures, at_ms=wall_ms())
    log.error(
        "message %s is dead (%s): %s: %s", id_text(lease.id), reason, failure.type, failure.message
    )
    return Reject(lease, reason.value, history.noted(failure).pack())


def _doom(attempt: Attempt) -> tuple[DeadReason, Exception] | None:
    lease, history = attempt.lease, attempt.history
    if history.solo_crashes >= SOLO_CRASHES or lease.crashes > MAX_CRASHES:
        msg = f"its process died under it {lease.crashes + history.solo_crashes} times"
        return DeadReason.POISON, TaskCrashedError(msg)
    if history.failures > attempt.policy.max_retries:
        msg = f"its {history.failures} failures are more than max_retries permits"
        return DeadReason.FAILED, TaskError(msg)
    if lease.expired and not history.failures and not lease.crashes:
        return DeadReason.EXPIRED, TaskExpiredError("it was not started within expires_in")
    return None
