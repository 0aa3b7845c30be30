"""Rejected messages, in a queue of their own beside each queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from async_task.spi.messages import DeadLetter

from async_task_rabbitmq.publisher import Parcel
from async_task_rabbitmq.wire import Copy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from async_task_rabbitmq.names import Names
    from async_task_rabbitmq.publisher import Publisher
    from async_task_rabbitmq.store import Store

_MOST: Final = 1000
"""How far from the head letters are looked for."""


class RabbitmqDeadLetters:
    """The `DeadLetters` facet.

    RabbitMQ cannot show without handing out: what is read here is held for a moment and put back
    where it was, and two who look at once may each see a part.
    """

    def __init__(self, store: Store, names: Names, publisher: Publisher) -> None:
        self._store = store
        self._names = names
        self._publisher = publisher

    async def browse(
        self, queue: str, *, limit: int, after: bytes | None = None
    ) -> Sequence[DeadLetter]:
        """Read up to `limit` dead letters in order of id, out of the first thousand.

        Every page looks at all of those: they died in another order.
        """
        letters = await self._read(queue, max(limit, _MOST))
        ids = sorted(each for each in letters if after is None or each > after)
        return [letters[each] for each in ids[:limit]]

    async def get(self, queue: str, ids: Sequence[bytes]) -> Sequence[DeadLetter | None]:
        """Read dead letters by id, as far as they are among the first thousand."""
        letters = await self._read(queue, _MOST)
        return [letters.get(each) for each in ids]

    async def requeue(self, queue: str, states: Mapping[bytes, bytes]) -> int:
        """Move dead letters back, as far as they are among the first thousand."""
        return await self._store.run(
            "requeueing dead letters", lambda: self._requeue(queue, states), write=True
        )

    async def purge(self, queue: str, ids: Sequence[bytes] | None = None) -> int:
        """Delete all dead letters of a queue, or those named among its first thousand."""

        async def purge() -> int:
            if ids is None:
                return await self._store.purge([self._names.dead(queue)])
            return await self._delete(queue, set(ids))

        return await self._store.run("deleting dead letters", purge, write=True)

    async def _read(self, queue: str, most: int) -> dict[bytes, DeadLetter]:
        async def read() -> dict[bytes, DeadLetter]:
            async with self._store.page(self._names.dead(queue), most) as page:
                return {each.id: _letter(queue, each) for each in page.copies.values()}

        return await self._store.run("reading dead letters", read)

    async def _requeue(self, queue: str, states: Mapping[bytes, bytes]) -> int:
        async with self._store.page(self._names.dead(queue), _MOST) as page:
            chosen = {copy.id: tag for tag, copy in page.copies.items() if copy.id in states}
            alive = [
                Copy(each, page.copies[tag].body, states[each], priority=page.copies[tag].priority)
                for each, tag in chosen.items()
            ]
            outcomes = await self._publisher.send([Parcel(queue, copy) for copy in alive])
            moved = {
                copy.id for copy, outcome in zip(alive, outcomes, strict=True) if outcome is None
            }
            # Other copies of one that lives again would be dead and alive at once.
            page.removed |= {tag for tag, copy in page.copies.items() if copy.id in moved}
        for outcome in outcomes:
            if outcome is not None:
                raise outcome
        return len(moved)

    async def _delete(self, queue: str, ids: set[bytes]) -> int:
        async with self._store.page(self._names.dead(queue), _MOST) as page:
            page.removed |= {tag for tag, copy in page.copies.items() if copy.id in ids}
            return len({page.copies[tag].id for tag in page.removed})


def _letter(queue: str, copy: Copy) -> DeadLetter:
    return DeadLetter(
        copy.id,
        queue,
        copy.body,
        copy.reason,
        copy.state,
        copy.priority,
        copy.deliveries,
        copy.crashes,
        copy.died_at_ms,
    )
