"""Patience with a backend that does not answer: back-off, and few words in the log."""

from __future__ import annotations

import logging
import random
import time
from typing import Final

log = logging.getLogger("async_task.worker")

SAY_EVERY_S: Final = 5.0
LONGEST_S: Final = 2.0
"""Longest pause between tries, so that work goes on within 5 s of the backend's return."""


def back_off_s(failures: int) -> float:
    """Return the seconds to wait after so many failures in a row: 0.1 to 2, with jitter."""
    longest = min(0.05 * 2.0 ** min(failures, 8), LONGEST_S)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter


class Outage:
    """Counts failures in a row of one kind of call."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._failures = 0
        self._said_at = -SAY_EVERY_S

    @property
    def lasting(self) -> bool:
        """Whether the latest call failed."""
        return self._failures > 0

    def failed(self, error: Exception) -> float:
        """Note a failure; return the seconds to wait before the next try."""
        self._failures += 1
        now = time.monotonic()
        if now - self._said_at >= SAY_EVERY_S:
            self._said_at = now
            log.warning("%s failed, trying again: %s: %s", self._what, type(error).__name__, error)
        return back_off_s(self._failures)

    def recovered(self) -> None:
        """Note a success."""
        if self._failures:
            log.info("%s works again after %d failed tries", self._what, self._failures)
            self._failures = 0
