"""What the scripts' arguments and replies mean."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, TypeAlias

from async_task.spi.messages import DeadLetter, Lease

from async_task_redis.keys import PRIORITIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_task.spi.messages import Message

    from async_task_redis.keys import QueueKeys
    from async_task_redis.scripts import Argument
    from async_task_redis.wire import Reply

_EXPIRES = 16
"""Added to the first byte of a body that 8 bytes of expiry follow."""

_Group: TypeAlias = "tuple[int, int, list[bytes], list[bytes | None], list[bytes | None] | None]"
"""Number of the queue, priority, ids, values of `body`, and of `history` if it is there."""

_PRIORITIES = tuple(bytes([priority]) for priority in range(PRIORITIES))

_counters = struct.Struct(">II")
_expiry = struct.Struct(">d")
_death = struct.Struct(">IIQB")


def member_of(lease: Lease) -> bytes:
    """Return what stands for a lease in the set of leases."""
    return lease.lease_id + lease.id + _PRIORITIES[lease.priority]


def storing(messages: Sequence[Message]) -> list[Argument]:
    """Return the arguments of `enqueue.lua`; all of one queue and priority."""
    arguments: list[Argument] = [len(messages)]
    timings: list[Argument] = []
    for position, message in enumerate(messages, 1):
        arguments += (message.id, _PRIORITIES[message.priority] + message.body)
        if message.delay_ms > 0 or message.expires_in_ms is not None:
            expiry = "" if message.expires_in_ms is None else message.expires_in_ms
            timings += (position, message.delay_ms, expiry)
    return arguments + timings


def leased(reply: Reply, queues: Sequence[QueueKeys], lease_id: bytes) -> list[Lease]:
    """Read what `lease.lua` or `recover.lua` returned.

    Args:
        reply: Its reply.
        queues: Those it was called for, in order.
        lease_id: The one it was called with.
    """
    now: int = reply[0]
    groups: list[_Group] = reply[2:]
    leases: list[Lease] = []
    for number, priority, ids, values, records in groups:
        queue = queues[number].queue
        for at, value in enumerate(values):
            if value is None:
                continue  # the body was evicted or deleted behind our back
            record = records[at] if records else None
            ended, crashes, state = (0, 0, b"") if record is None else _history(record)
            expires, body = (
                (False, value[1:])
                if value[0] < _EXPIRES
                else (now > _expiry.unpack_from(value, 1)[0], value[9:])
            )
            leases.append(
                Lease(ids[at], queue, body, lease_id, ended + 1, crashes, state, priority, expires)
            )
    return leases


def dead_letter(queue: str, message: bytes, death: bytes, value: bytes) -> DeadLetter:
    """Read what is kept of a dead message."""
    deliveries, crashes, died_at_ms, length = _death.unpack_from(death)
    begin = _death.size
    priority = value[0] % _EXPIRES
    return DeadLetter(
        id=message,
        queue=queue,
        body=value[1:] if value[0] < _EXPIRES else value[9:],
        reason=death[begin : begin + length].decode(),
        state=death[begin + length :],
        priority=priority,
        deliveries=deliveries,
        crashes=crashes,
        died_at_ms=died_at_ms,
    )


def _history(record: bytes) -> tuple[int, int, bytes]:
    ended, crashes = _counters.unpack_from(record)
    return ended, crashes, record[_counters.size :]
