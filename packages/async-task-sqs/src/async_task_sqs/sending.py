"""Sending copies of messages: batches of ten, each entry with an outcome of its own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from async_task.spi.errors import DriverError, MessageTooLargeError

from async_task_sqs.limits import BATCH, DELAY_S
from async_task_sqs.wire import size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_task_sqs.client import SqsClient
    from async_task_sqs.queues import Queues
    from async_task_sqs.wire import Copy


@dataclass(slots=True)
class Parcel:
    """What is to be sent where, to be received in `delay_ms`.

    Attributes:
        queue: Our name of the queue.
        copy: The copy.
        delay_ms: How long it waits.
        dead: Whether it goes to the dead letters.
        follows: SQS's id of the copy that it takes the place of; none for a dispatch.
    """

    queue: str
    copy: Copy
    delay_ms: int = 0
    dead: bool = False
    follows: str = ""

    def entry(self, hop_s: int, *, fifo: bool) -> dict[str, Any]:
        """Return the entry of a batch that sends it.

        On a FIFO queue each message is a group of its own. A message is dispatched once, and each
        copy is followed by one other at most, within the five minutes for which SQS remembers:
        who repeats a call of unknown outcome, or ends a lease after another did, adds nothing.
        """
        if not fifo or self.dead:
            return self.copy.entry(self.delay_ms, hop_s)
        group = self.copy.id.hex()
        order = {"MessageGroupId": group, "MessageDeduplicationId": self.follows or group}
        return self.copy.entry(self.delay_ms, 0) | order


class Sender:
    """Sends copies.

    Args:
        queues: Where they go.
        max_bytes: Largest message, and largest sum of a batch.
        hop_s: Longest delay of one copy; longer delays take several, one after the other.
    """

    def __init__(self, queues: Queues, max_bytes: int, hop_s: int = DELAY_S) -> None:
        self._queues = queues
        self._max_bytes = max_bytes
        self._hop_s = hop_s

    async def send(self, client: SqsClient, parcels: Sequence[Parcel]) -> list[DriverError | None]:
        """Send copies, in calls of ten that all go at once; raises no `DriverError`.

        Returns:
            Aligned with `parcels`: `None` for stored, else what became of it.
        """
        outcomes: list[DriverError | None] = [None] * len(parcels)
        entries: dict[int, dict[str, Any]] = {}
        groups: dict[tuple[str, bool], list[int]] = {}
        for at, parcel in enumerate(parcels):
            entry = parcel.entry(self._hop_s, fifo=self._queues.fifo)
            if (length := size(entry)) > self._max_bytes:
                outcomes[at] = MessageTooLargeError(
                    f"a message of {length} bytes for queue {parcel.queue!r} exceeds "
                    f"sqs_max_message_bytes, {self._max_bytes}"
                )
                continue
            entries[at] = entry
            groups.setdefault((parcel.queue, parcel.dead), []).append(at)
        batches = [
            (queue, dead, batch)
            for (queue, dead), group in groups.items()
            for batch in self._batches(group, entries)
        ]
        answers = await asyncio.gather(
            *(
                self._send(client, queue, [entries[at] for at in batch], dead=dead)
                for queue, dead, batch in batches
            )
        )
        for (_, _, batch), answer in zip(batches, answers, strict=True):
            for at, outcome in zip(batch, answer, strict=True):
                outcomes[at] = outcome
        return outcomes

    async def _send(
        self, client: SqsClient, queue: str, entries: list[dict[str, Any]], *, dead: bool
    ) -> list[DriverError | None]:
        try:
            url = await self._queues.url(client, queue, dead=dead)
        except DriverError as error:
            return [error] * len(entries)
        return await client.batch("send_message_batch", f"sending to {queue!r}", url, entries)

    def _batches(self, group: list[int], entries: dict[int, dict[str, Any]]) -> list[list[int]]:
        """Split positions into calls: ten at most, and no more bytes than one message may have."""
        batches: list[list[int]] = []
        room = 0
        for at in group:
            length = size(entries[at])
            if not batches or len(batches[-1]) == BATCH or length > room:
                batches.append([])
                room = self._max_bytes
            batches[-1].append(at)
            room -= length
        return batches
