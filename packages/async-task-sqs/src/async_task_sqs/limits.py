"""The numbers of Amazon SQS, from the quota pages of its developer guide."""

from __future__ import annotations

from typing import Final

BATCH: Final = 10
"""Most entries of one call, and most messages of one receive."""

MESSAGE_BYTES: Final = 1 << 20
"""Largest message, its attributes included, and largest sum of the messages of one call."""

RESERVED_BYTES: Final = 8192
"""What a message carries beside its body: up to 4 KiB of state, counters, a reason."""

DELAY_S: Final = 900
"""Longest `DelaySeconds`."""

LONGEST_LEASE_S: Final = 43_200
"""Longest that a message can be held, from when it was received and all extensions included."""

HIDE_S: Final = LONGEST_LEASE_S - 60
"""For how long a message is hidden that comes too early: what is left of that after a slow call."""

RETENTION_S: Final = 1_209_600
"""Longest that SQS keeps a message: 14 days, from when this copy of it was sent."""

NAME_LENGTH: Final = 80
"""Longest name of a queue."""

FIFO: Final = ".fifo"
"""What the name of a FIFO queue ends in, and the name of no other."""
