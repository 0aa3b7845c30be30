"""Rejected messages, in a queue of their own beside each queue."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from async_task.spi.messages import DeadLetter

from async_task_sqs.batches import delete, extend
from async_task_sqs.receiving import receive
from async_task_sqs.sending import Parcel
from async_task_sqs.store import raise_first
from async_task_sqs.wire import Copy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from async_task_sqs.receiving import Received
    from async_task_sqs.store import Store

_MOST: Final = 1000
"""How far from the head letters are looked for, as far as time allows."""
_LOOK_S: Final = 30
"""How long a letter that is looked at is hidden from others, should we never let go of it."""


class SqsDeadLetters:
    """The `DeadLetters` facet.

    SQS cannot look without taking: what is read here is hidden from others for a moment, and two
    who look at once may each see a part.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def browse(
        self, queue: str, *, limit: int, after: bytes | None = None
    ) -> Sequence[DeadLetter]:
        """Read about `limit` dead letters from the head of the queue, in order of id."""
        found = await self._peek(queue, limit if after is None else _MOST)
        letters = {each.copy.id: each for each in found}
        ids = sorted(each for each in letters if after is None or each > after)
        return [_letter(letters[each]) for each in ids[:limit]]

    async def get(self, queue: str, ids: Sequence[bytes]) -> Sequence[DeadLetter | None]:
        """Read dead letters by id, as far as they are among the first thousand."""
        letters = {each.copy.id: each for each in await self._peek(queue, _MOST)}
        return [_letter(letters[each]) if each in letters else None for each in ids]

    async def requeue(self, queue: str, states: Mapping[bytes, bytes]) -> int:
        """Move dead letters back, as far as they are among the first thousand."""
        found = await self._take(queue, _MOST, wanted=set(states))
        mine = {each.copy.id: each for each in found if each.copy.id in states}
        parcels = [
            Parcel(queue, Copy(key, each.copy.body, states[key]), follows=each.name)
            for key, each in mine.items()
        ]
        outcomes = await self._store.sender.send(self._store.client, parcels)
        moved = {key for key, outcome in zip(mine, outcomes, strict=True) if outcome is None}
        await self._end(found, moved)
        raise_first(outcomes)
        return len(moved)

    async def purge(self, queue: str, ids: Sequence[bytes] | None = None) -> int:
        """Delete all dead letters of a queue, or those named among its first thousand."""
        if ids is None:
            return await self._store.drain(queue, dead=True)
        found = await self._take(queue, _MOST, wanted=set(ids))
        return len(await self._end(found, set(ids)))

    async def _peek(self, queue: str, most: int) -> list[Received]:
        found = await self._take(queue, most)
        await self._end(found, set())
        return found

    async def _take(
        self, queue: str, most: int, *, wanted: set[bytes] | None = None
    ) -> list[Received]:
        """Take letters from the head: `most`, or until all that are wanted were found."""
        client = self._store.client
        url = await self._store.queues.find(client, queue, dead=True)
        found: list[Received] = []
        if url is None:
            return found
        loop = asyncio.get_running_loop()
        ends = loop.time() + self._store.op_timeout_s / 2
        count = await self._store.count(url)
        while len(found) < most and loop.time() < ends:
            if wanted is not None and wanted <= {each.copy.id for each in found}:
                break
            missing = len(found) < count
            more = await receive(
                client,
                queue,
                url,
                min(10, most - len(found)),
                wait_s=1 if missing else 0,  # a short one asks some of SQS's servers only
                visibility_s=_LOOK_S,
            )
            found += more
            if not more:
                break
        return found

    async def _end(self, found: list[Received], doomed: set[bytes]) -> set[bytes]:
        """Delete some of what was taken and let go of the rest; return what was deleted."""
        gone = [each for each in found if each.copy.id in doomed]
        kept = [each for each in found if each.copy.id not in doomed]
        client = self._store.client
        outcomes, _ = await asyncio.gather(
            delete(client, [each.address for each in gone]),
            extend(client, [each.address for each in kept], 0),
        )
        raise_first(outcomes)
        return {each.copy.id for each in gone}


def _letter(received: Received) -> DeadLetter:
    copy = received.copy
    return DeadLetter(
        copy.id,
        received.queue,
        copy.body,
        copy.reason,
        copy.state,
        0,
        copy.deliveries,
        copy.crashes,
        received.sent_at_ms,
    )
