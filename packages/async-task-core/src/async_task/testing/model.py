"""What a driver should hold, in plain dictionaries and lists."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from async_task.spi.messages import Lease, Message, MessageState

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass
class Kept:
    """What the model knows of an unfinished message."""

    message: Message
    where: MessageState
    state: bytes = b""
    deliveries: int = 0
    crashes: int = 0
    cancelled: bool = False


@dataclass
class Model:
    """All messages of a history, by id, and what is known of queues and leases."""

    kept: dict[bytes, Kept] = field(default_factory=dict[bytes, Kept])
    finished: list[Message] = field(default_factory=list[Message])
    held: list[Lease] = field(default_factory=list[Lease])
    lost: list[Lease] = field(default_factory=list[Lease])
    paused: set[str] = field(default_factory=set[str])

    def those(self, *where: MessageState, queue: str | None = None) -> list[Kept]:
        """Return the messages in one of the states, of one queue or of all."""
        return [
            each
            for each in self.kept.values()
            if each.where in where and queue in (None, each.message.queue)
        ]

    def ready(self, queues: Sequence[str]) -> list[Kept]:
        """Return what may be handed out of some queues."""
        names = set(queues) - self.paused
        return [each for each in self.those(MessageState.READY) if each.message.queue in names]

    def finish(self, kept: Kept) -> None:
        """Forget a message that is done, cancelled or deleted."""
        del self.kept[kept.message.id]
        self.finished.append(kept.message)

    def give_back(self, kept: Kept, where: MessageState) -> None:
        """Return a message from its lease."""
        if kept.cancelled:
            self.finish(kept)
        else:
            kept.where = where

    def end(self, lease: Lease) -> Kept:
        """Turn a current lease into a lost one; return its message."""
        self.held.remove(lease)
        self.lost.append(lease)
        return self.kept[lease.id]
