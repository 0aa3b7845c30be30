"""Identifiers: 16 bytes, time-ordered, from one random read."""

from __future__ import annotations

import os
import time
import uuid


def new_id() -> bytes:
    """Return a UUIDv7 (RFC 9562): 48 bits of Unix milliseconds, then 74 random bits."""
    raw = bytearray(os.urandom(16))
    raw[:6] = (time.time_ns() // 1_000_000).to_bytes(6, "big")
    raw[6] = raw[6] & 0x0F | 0x70
    raw[8] = raw[8] & 0x3F | 0x80
    return bytes(raw)


def id_text(raw: bytes) -> str:
    """Return the usual text form of an id."""
    h = raw.hex()
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


def id_bytes(text: str) -> bytes:
    """Return the id a text names.

    Raises:
        ValueError: It is not the text form of an id.
    """
    return uuid.UUID(text).bytes
