"""Dead letters as users see them: which task, with what, why, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from async_task.core.clock import utc
from async_task.core.codec import codec
from async_task.core.envelope import unpack
from async_task.core.history import Failure, History
from async_task.core.ids import id_bytes, id_text
from async_task.errors import SerializationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
    from datetime import datetime

    from async_task.spi.facets import DeadLetters
    from async_task.spi.messages import DeadLetter

_PAGE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadTask:
    """One task that was given up on.

    Attributes:
        id: The id `dispatch` returned.
        queue: The queue it came from and returns to.
        task: Its name; None when its envelope cannot be read.
        reason: Why: failed, poison, expired, bad_payload, bad_arguments, unknown_task or rejected.
        errors: Its latest failures, oldest first.
        failures: Runs that raised or timed out.
        deliveries: How often it was handed to a worker.
        crashes: How many of those ended with the worker's death or a lost lease.
        priority: Its priority.
        dispatched_at: When it was dispatched, by the dispatcher's clock; None as for `task`.
        died_at: When it was given up on, by the store's clock.
        body: The stored bytes as they are.
    """

    id: str
    queue: str
    task: str | None
    reason: str
    errors: tuple[Failure, ...]
    failures: int
    deliveries: int
    crashes: int
    priority: int
    dispatched_at: datetime | None
    died_at: datetime
    body: bytes

    def arguments(self) -> tuple[list[Any], dict[str, Any]]:
        """Decode what it was called with.

        Raises:
            SerializationError: It cannot be decoded here.
        """
        return codec().decode_arguments(unpack(self.body).arguments)


class DeadTasks:
    """The dead letters of one backend, which is connected to when it is first needed."""

    def __init__(self, facet: DeadLetters, connect: Callable[[], Awaitable[None]]) -> None:
        self._facet = facet
        self._connect = connect

    async def browse(
        self,
        queue: str,
        *,
        limit: int = 100,
        after: str | None = None,
        task: str | None = None,
        reason: str | None = None,
    ) -> list[DeadTask]:
        """Read up to `limit` dead letters in order of id, that is of dispatch.

        Args:
            queue: A queue name.
            limit: 1 or more.
            after: Only those after this id: the last of the page before.
            task: Only of this task.
            reason: Only for this reason.
        """
        found: list[DeadTask] = []
        start = None if after is None else id_bytes(after)
        async for letter in self._matching(queue, start, task, reason):
            found.append(_dead_task(letter))
            if len(found) == limit:
                break
        return found

    async def get(self, queue: str, task_id: str) -> DeadTask | None:
        """Read one, or None if it is not there."""
        await self._connect()
        letter = (await self._facet.get(queue, [id_bytes(task_id)]))[0]
        return None if letter is None else _dead_task(letter)

    async def requeue(
        self,
        queue: str,
        ids: Iterable[str] | None = None,
        *,
        task: str | None = None,
        reason: str | None = None,
    ) -> int:
        """Put dead letters back, ready now, their counters at zero and their errors kept.

        Args:
            queue: A queue name.
            ids: These; or None for all that match `task` and `reason`.
            task: Only of this task.
            reason: Only for this reason.

        Returns:
            How many were put back; those no longer there are not counted.
        """
        moved = 0
        async for page in self._pages(queue, ids, task, reason):
            states = {d.id: History.unpack(d.state).requeued().pack() for d in page}
            moved += await self._facet.requeue(queue, states)
        return moved

    async def purge(
        self,
        queue: str,
        ids: Iterable[str] | None = None,
        *,
        task: str | None = None,
        reason: str | None = None,
    ) -> int:
        """Delete dead letters for good; arguments and result as for `requeue`."""
        if ids is None and task is None and reason is None:
            await self._connect()
            return await self._facet.purge(queue)
        deleted = 0
        async for page in self._pages(queue, ids, task, reason):
            deleted += await self._facet.purge(queue, [letter.id for letter in page])
        return deleted

    async def _pages(
        self, queue: str, ids: Iterable[str] | None, task: str | None, reason: str | None
    ) -> AsyncIterator[Sequence[DeadLetter]]:
        page: list[DeadLetter] = []
        if ids is not None:
            await self._connect()
            wanted = [id_bytes(task_id) for task_id in ids]
            page = [letter for letter in await self._facet.get(queue, wanted) if letter is not None]
            page = [letter for letter in page if _matches(letter, task, reason)]
        else:
            async for letter in self._matching(queue, None, task, reason):
                page.append(letter)
                if len(page) == _PAGE:
                    yield page
                    page = []
        if page:
            yield page

    async def _matching(
        self, queue: str, after: bytes | None, task: str | None, reason: str | None
    ) -> AsyncIterator[DeadLetter]:
        await self._connect()
        while page := await self._facet.browse(queue, limit=_PAGE, after=after):
            for letter in page:
                if _matches(letter, task, reason):
                    yield letter
            after = page[-1].id


def _matches(letter: DeadLetter, task: str | None, reason: str | None) -> bool:
    if reason is not None and letter.reason != reason:
        return False
    return task is None or _dead_task(letter).task == task


def _dead_task(letter: DeadLetter) -> DeadTask:
    history = History.unpack(letter.state)
    try:
        envelope = unpack(letter.body)
        task, dispatched_at = envelope.task, utc(envelope.dispatched_at_ms)
    except SerializationError:
        task, dispatched_at = None, None
    return DeadTask(
        id=id_text(letter.id),
        queue=letter.queue,
        task=task,
        reason=letter.reason,
        errors=history.errors,
        failures=history.failures,
        deliveries=letter.deliveries,
        crashes=letter.crashes,
        priority=letter.priority,
        dispatched_at=dispatched_at,
        died_at=utc(letter.died_at_ms),
        body=letter.body,
    )
