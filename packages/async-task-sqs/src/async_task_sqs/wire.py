"""A message on the wire: a readable text of counters, and the bytes in binary attributes.

SQS takes text only as a body, but bytes in an attribute, and counts those as they are: the body
costs nothing more than its own length, where base64 would cost a third. The text is JSON, so that
whoever looks at the queue in AWS's console sees which message it is:

    {"id": "0192...", "deliveries": 2, "crashes": 1}
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, replace
from math import ceil
from typing import Any, Final

_BINARY: Final = "Binary"
_MOST: Final = 1 << 50
"""More milliseconds than anybody waits: 35,000 years."""
_ATTRIBUTES: Final = ("body", "state")


@dataclass(slots=True)
class Copy:
    """One copy of a message, as it is sent; giving a message back sends another copy.

    Attributes:
        id: The message's id.
        body: Its body.
        state: Core's memory of it.
        deliveries: How often earlier copies were handed out.
        crashes: How many leases of earlier copies expired.
        wait_ms: How much longer than this copy's own delay the message has to wait.
        expires_in_ms: Its expiry, counted from when this copy was sent.
        expires_at_ms: Its expiry by SQS's clock, once a copy has told when it was sent.
        reason: Why it is a dead letter.
    """

    id: bytes
    body: bytes
    state: bytes = b""
    deliveries: int = 0
    crashes: int = 0
    wait_ms: int = 0
    expires_in_ms: int | None = None
    expires_at_ms: int | None = None
    reason: str = ""

    def entry(self, delay_ms: int, hop_s: int) -> dict[str, Any]:
        """Return the entry of a batch that sends it.

        Args:
            delay_ms: How long the message has to wait.
            hop_s: Longest delay of one copy; what is beyond it is written down for the next. 0 on a
                FIFO queue, where all of it is written down.
        """
        delay_s = ceil(delay_ms / 1000)
        left_ms = delay_ms - hop_s * 1000 if delay_s > hop_s else 0
        copy = replace(self, wait_ms=left_ms)
        values = {"body": self.body, "state": self.state}
        attributes = {
            name: {"DataType": _BINARY, "BinaryValue": value}
            for name, value in values.items()
            if value  # SQS takes no empty ones
        }
        entry: dict[str, Any] = {"MessageBody": copy.text()}
        if attributes:
            entry["MessageAttributes"] = attributes
        if delay_s and hop_s:
            entry["DelaySeconds"] = min(delay_s, hop_s)
        return entry

    def text(self) -> str:
        """Return the text of the message: all but the bytes."""
        known: dict[str, object] = {
            "deliveries": self.deliveries,
            "crashes": self.crashes,
            "wait_ms": self.wait_ms,
            "reason": self.reason,
        }
        fields = {name: value for name, value in known.items() if value}
        for name in ("expires_in_ms", "expires_at_ms"):
            if (value := getattr(self, name)) is not None:
                fields[name] = value
        return json.dumps({"id": self.id.hex(), **fields}, separators=(",", ":"))


def size(entry: dict[str, Any]) -> int:
    """Return what SQS counts of a message: its text, and names, types and values of attributes."""
    attributes = entry.get("MessageAttributes", {})
    return len(entry["MessageBody"]) + sum(
        len(name) + len(_BINARY) + len(value["BinaryValue"]) for name, value in attributes.items()
    )


def read(message: Any) -> Copy:
    """Read a received message.

    One that is not ours is read as a body and nothing else, under SQS's own id: core will find
    that it is no envelope, and keep it as a dead letter.
    """
    text: str = message["Body"]
    attributes = message.get("MessageAttributes", {})
    try:
        fields = json.loads(text)
        identity = uuid.UUID(fields.pop("id")).bytes
        body, state = (_value(attributes, name) for name in _ATTRIBUTES)
        return Copy(identity, body, state, **_checked(fields))
    except (ValueError, TypeError, AttributeError, KeyError):
        return Copy(uuid.UUID(message["MessageId"]).bytes, text.encode())


def _checked(fields: dict[str, Any]) -> dict[str, Any]:
    """Raise `ValueError` unless the fields are of the kinds that we write: anybody may send."""
    for name, value in fields.items():
        sound = type(value) is int and 0 <= value < _MOST
        if name == "reason":
            sound = isinstance(value, str)
        if not sound:
            raise ValueError(name)
    return fields


def _value(attributes: Any, name: str) -> bytes:
    value: bytes = attributes[name]["BinaryValue"] if name in attributes else b""
    return value
