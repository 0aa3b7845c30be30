"""A message on the wire: the body as it is, everything else in properties and headers.

The message's id is the `correlation_id`, in hexadecimal, where whoever looks at the queue sees it;
`message_id` is drawn by the client for every attempt to publish, since RabbitMQ names by it what it
gives back. Headers are written only where they say something, and never copied from a message that
came: RabbitMQ drops one that comes a second time through the same queues with `x-death` in it.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from aiormq import spec

if TYPE_CHECKING:
    from aiormq.abc import DeliveredMessage

_PERSISTENT: Final = 2
_RETURNED: Final = "x-delivery-count"
"""How often this copy came back to its queue without an answer; counted by RabbitMQ."""
_MOST: Final = 1 << 62


@dataclass(slots=True)
class Copy:
    """One copy of a message, as it is published; giving a message back publishes another.

    Attributes:
        id: The message's id.
        body: Its body.
        state: Core's memory of it.
        deliveries: How often earlier copies were handed out.
        crashes: How many leases of earlier copies were lost.
        priority: Its level.
        wait_ms: How much longer it has to wait once this copy has come.
        expires_at_ms: When it expires: Unix milliseconds of the clock of who dispatched it, since
            RabbitMQ shows nobody its own.
        reason: Why it is a dead letter.
        died_at_ms: Since when, by the clock of the worker.
    """

    id: bytes
    body: bytes
    state: bytes = b""
    deliveries: int = 0
    crashes: int = 0
    priority: int = 0
    wait_ms: int = 0
    expires_at_ms: int | None = None
    reason: str = ""
    died_at_ms: int = 0

    def properties(self) -> Any:
        """Return what is published beside the body."""
        headers: dict[str, Any] = {
            name: value
            for name in ("deliveries", "crashes", "priority", "wait_ms", "died_at_ms", "reason")
            if (value := getattr(self, name))
        }
        if self.expires_at_ms is not None:
            headers["expires_at_ms"] = self.expires_at_ms
        if self.state:
            headers["state"] = bytearray(self.state)
        return spec.Basic.Properties(
            delivery_mode=_PERSISTENT, correlation_id=self.id.hex(), headers=headers or None
        )

    @property
    def expired(self) -> bool:
        """Whether its time is over now."""
        return self.expires_at_ms is not None and time.time() * 1000 > self.expires_at_ms

    def again(self, state: bytes, **changes: Any) -> Copy:
        """Return the copy that follows one that was handed out."""
        return replace(self, state=state, deliveries=self.deliveries + 1, **changes)


def read(message: DeliveredMessage) -> tuple[Copy, int]:
    """Return the copy that came, as it was published, and how often it had come back since.

    A message that somebody else wrote is a body and nothing
    more; its id is made from what it says of itself.
    """
    properties = message.header.properties
    headers: dict[str, Any] = properties.headers or {}
    expires_at_ms = headers.get("expires_at_ms")
    copy = Copy(
        id=_id(properties),
        body=message.body,
        state=_bytes(headers.get("state")),
        deliveries=_number(headers, "deliveries"),
        crashes=_number(headers, "crashes"),
        priority=_number(headers, "priority"),
        wait_ms=_number(headers, "wait_ms"),
        expires_at_ms=expires_at_ms if isinstance(expires_at_ms, int) else None,
        reason=str(headers.get("reason", "")),
        died_at_ms=_number(headers, "died_at_ms"),
    )
    return copy, _number(headers, _RETURNED)


def _id(properties: Any) -> bytes:
    name = str(properties.correlation_id or "")
    try:
        found = bytes.fromhex(name)
    except ValueError:
        found = b""
    if len(found) == 16:
        return found
    return hashlib.sha256(f"{name}/{properties.message_id}".encode()).digest()[:16]


def _number(headers: dict[str, Any], name: str) -> int:
    value = headers.get(name, 0)
    return min(value, _MOST) if isinstance(value, int) and value > 0 else 0


def _bytes(value: object) -> bytes:
    return bytes(value) if isinstance(value, bytes | bytearray) else b""
