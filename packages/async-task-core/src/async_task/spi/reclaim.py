"""When a message whose lease expired is handed out again; the same on every driver."""

from __future__ import annotations

import random

CAP_MS = 60_000


def reclaim_delay_ms(crashes: int) -> int:
    """Return how long a message waits after its `crashes`-th expired lease.

    Nothing after the first, so that recovery is bounded by the lease alone. Later ones wait a
    random time up to `min(2 ** crashes, 60)` seconds: tasks that crashed together must not stay
    together, or the innocent ones are charged again and again.
    """
    if crashes <= 1:
        return 0
    return random.randint(0, min(1000 * 2 ** min(crashes, 6), CAP_MS))  # noqa: S311 - no secret
