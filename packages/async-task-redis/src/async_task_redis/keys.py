"""The names of what is stored.

Everything of one queue lies in one slot of a cluster, by the hash tag `{namespace:queue}`; what
belongs to no queue has the tag `{namespace:}`. A queue's keys:

* `body` hash: id -> one byte (priority, +16 if the message expires), then 8 bytes (Unix
  milliseconds, big-endian double) if it does, then the body
* `due:0` to `due:9` sorted sets, one per priority: id -> when it is due, Unix milliseconds plus a
  fraction that keeps the order of arrival
* `leased` sorted set: lease id + id + one byte (priority) -> when the lease ends. Membership is the
  fence: who cannot name a member holds nothing
* `history` hash: id -> ended leases and crashes (4 bytes each, big-endian), then the state; only of
  messages that have been given back
* `cancelled` set: ids of leased messages that shall not return
* `dead` sorted set: id -> 0, so in order of id; `deaths` hash: id -> ended leases, crashes (4 bytes
  each), time (8 bytes), length of the reason (1 byte), the reason, then the state
* `wake` list: one token at most, for one of those who wait
* `last` string: the last `due` of a message without a delay; `paused` string: there if it is
* `result:<id in hexadecimal>` strings with a time to live
"""

from __future__ import annotations

from typing import Final

PRIORITIES: Final = 10


class QueueKeys:
    """The keys of one queue.

    Args:
        namespace: The application's.
        queue: The queue's name; empty for what belongs to no queue.
    """

    __slots__ = (
        "body",
        "cancelled",
        "dead",
        "deaths",
        "due",
        "enqueueing",
        "history",
        "last",
        "leased",
        "leasing",
        "paused",
        "prefix",
        "queue",
        "settling",
        "wake",
    )

    def __init__(self, namespace: str, queue: str) -> None:
        self.queue = queue
        self.prefix = f"async_task:{{{namespace}:{queue}}}:".encode()
        self.body = self.prefix + b"body"
        self.due = tuple(self.prefix + b"due:%d" % priority for priority in range(PRIORITIES))
        self.leased = self.prefix + b"leased"
        self.history = self.prefix + b"history"
        self.cancelled = self.prefix + b"cancelled"
        self.dead = self.prefix + b"dead"
        self.deaths = self.prefix + b"deaths"
        self.wake = self.prefix + b"wake"
        self.last = self.prefix + b"last"
        self.paused = self.prefix + b"paused"
        messages = (self.body, self.history, self.leased, self.cancelled)
        self.enqueueing = (self.body, self.last, self.wake)
        """First keys of `enqueue.lua`."""
        self.leasing = (*messages, self.wake, self.paused, *self.due)
        """Keys of one queue in `lease.lua`."""
        self.settling = (*messages, self.wake, self.dead, self.deaths, *self.due)
        """First keys of every script that moves single messages."""

    def result(self, message: bytes) -> bytes:
        """Return the key of a message's result."""
        return self.prefix + b"result:" + message.hex().encode()


class Keys:
    """All keys of a namespace; those of a queue are made once."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._queues: dict[str, QueueKeys] = {}
        self.elsewhere = QueueKeys(namespace, "")
        """Results of messages that another driver holds."""
        self.registry = self.elsewhere.prefix + b"queues"
        """Set of the names of all queues."""

    def __getitem__(self, queue: str) -> QueueKeys:
        keys = self._queues.get(queue)
        if keys is None:
            keys = self._queues[queue] = QueueKeys(self._namespace, queue)
        return keys

    def channel(self, message: bytes) -> bytes:
        """Return the channel that tells of a message's result; the same whatever its queue."""
        return f"async_task:{self._namespace}:result:{message.hex()}".encode()
