"""Results and control from another driver, where a queue's own has neither.

That driver is named by `results=` and `control=`. It is connected to when it is first needed, so
that a dispatch waits for no store but its own.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, NoReturn, Protocol

from async_task.errors import ConfigurationError
from async_task.spi.messages import MessageState, StoredResult

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from async_task.core.queue_driver import QueueDriver
    from async_task.errors import UnsupportedError
    from async_task.spi.facets import Control, Results

MARK_TTL_MS: Final = 30 * 24 * 3600 * 1000
"""How long it is remembered that a task was cancelled: twice as long as SQS keeps a message."""


class _Unsupported(Protocol):
    def __call__(self, capability: str, what: str) -> UnsupportedError: ...


def stores_of(queue_driver: QueueDriver) -> dict[str, QueueDriver]:
    """Make the drivers that `results=` and `control=` name, as far as one lacks the facet.

    Raises:
        ConfigurationError: One that is named lacks it too, or is not known.
    """
    config = queue_driver.config
    made: dict[str, QueueDriver] = {}
    stores: dict[str, QueueDriver] = {}
    for facet in ("results", "control"):
        named: str | None = getattr(config, facet)
        if named is None or getattr(queue_driver.driver, facet) is not None:
            continue
        if named not in made:
            choice = {"url": named} if "://" in named else {"driver": named}
            chosen = config.replace(**choice, results=None, control=None)
            made[named] = type(queue_driver).from_config(chosen)
        stores[facet] = store = made[named]
        if getattr(store.driver, facet) is None:
            msg = f"{facet}= names driver {store.name!r}, which has no {facet} itself"
            raise ConfigurationError(f"{msg}; name another, redis or a SQL driver for example")
    return stores


class ResultsElsewhere:
    """The `Results` facet of another driver.

    Attributes:
        store: That driver.
    """

    def __init__(self, store: QueueDriver) -> None:
        self.store = store

    async def put(self, results: Mapping[bytes, StoredResult]) -> None:
        """Store results."""
        await (await self._opened()).put(results)

    async def get(self, ids: Sequence[bytes]) -> Sequence[bytes | None]:
        """Read the bodies that are there, aligned with `ids`."""
        return await (await self._opened()).get(ids)

    async def wait(self, ids: Sequence[bytes], *, wait_ms: int) -> Mapping[bytes, bytes]:
        """Return as soon as one of `ids` has a result, or `{}` after `wait_ms`."""
        return await (await self._opened()).wait(ids, wait_ms=wait_ms)

    async def _opened(self) -> Results:
        await self.store.connect()
        assert self.store.driver.results is not None  # noqa: S101 - checked when it was made
        return self.store.driver.results


class ControlElsewhere:
    """The `Control` facet, kept in another driver for workers to follow.

    A queue is paused there by its name. A task is cancelled by a mark, a result under an id of its
    own: whoever takes the task finds the mark, and whoever runs it looks for one now and then. The
    other driver knows nothing of the messages themselves, so that it can neither list queues nor
    say where a message is.

    Attributes:
        store: That driver.
    """

    def __init__(
        self, store: QueueDriver, results: Results | None, unsupported: _Unsupported
    ) -> None:
        """Make one; does no I/O.

        Args:
            store: Where it is kept.
            results: Where the outcomes of the tasks are, if anywhere.
            unsupported: Makes the error for what cannot be done.
        """
        self.store = store
        self._marks = ResultsElsewhere(store)
        self._results = results
        self._unsupported = unsupported

    async def queues(self) -> NoReturn:
        """Refuse.

        Raises:
            UnsupportedError: Always.
        """
        raise self._unsupported("control", "cannot list its queues; name them")

    async def status(self, ids: Sequence[bytes]) -> Sequence[None]:
        """Know nothing of any message."""
        return [None] * len(ids)

    async def cancel(self, ids: Sequence[bytes]) -> Sequence[MessageState | None]:
        """Mark messages; `None` for one whose outcome is kept, LEASED for any other."""
        kept = [None] * len(ids) if self._results is None else await self._results.get(ids)
        unfinished = [i for i, outcome in zip(ids, kept, strict=True) if outcome is None]
        await self._marks.put(
            {_mark(i): StoredResult(b"cancelled", MARK_TTL_MS) for i in unfinished}
        )
        return [MessageState.LEASED if outcome is None else None for outcome in kept]

    async def cancelled(self, ids: Sequence[bytes]) -> set[bytes]:
        """Return those of `ids` that are marked."""
        marks = await self._marks.get([*map(_mark, ids)])
        return {i for i, mark in zip(ids, marks, strict=True) if mark is not None}

    async def pause(self, queue: str) -> None:
        """Have it known that nothing of this queue is to be leased."""
        await (await self._opened()).pause(queue)

    async def resume(self, queue: str) -> None:
        """Undo `pause`."""
        await (await self._opened()).resume(queue)

    async def paused(self) -> Sequence[str]:
        """List the names of the paused queues, sorted."""
        return await (await self._opened()).paused()

    async def _opened(self) -> Control:
        await self.store.connect()
        assert self.store.driver.control is not None  # noqa: S101 - checked when it was made
        return self.store.driver.control


def _mark(message_id: bytes) -> bytes:
    """Return the id under which it is kept that a message is cancelled."""
    return hashlib.sha256(b"cancelled" + message_id).digest()[:16]
