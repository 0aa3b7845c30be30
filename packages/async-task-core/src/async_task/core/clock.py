"""The two clocks of a process. What is due is the store's business, never decided by these."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def boottime() -> float:
    """Return seconds that pass also while the machine sleeps; for local deadlines.

    The monotonic clock stops while a machine sleeps, and a lease does not. Where the system has no
    such clock (macOS, Windows), it is the monotonic one.
    """
    if _BOOT_CLOCK is None:
        return time.monotonic()
    return time.clock_gettime(_BOOT_CLOCK)


_BOOT_CLOCK: int | None = getattr(time, "CLOCK_BOOTTIME", None)


def wall_ms() -> int:
    """Return Unix milliseconds; for display."""
    return time.time_ns() // 1_000_000


def utc(ms: int) -> datetime:
    """Return Unix milliseconds as an aware datetime."""
    return datetime.fromtimestamp(ms / 1000, UTC)
