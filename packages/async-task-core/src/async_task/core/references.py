"""Fetching what arguments refer to: rows of a database that travel as references.

The tasks that a worker takes together share one fetch per kind of reference. It begins when the
first of them starts, goes on while any of them waits for it, and gives each values of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final, TypeAlias

from async_task.core.codec import codec
from async_task.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Hashable, Mapping

    from async_task.serialization.codec import Codec
    from async_task.serialization.hooks import Fetched

    _Found: TypeAlias = Mapping[str, Fetched]
    _Wanted: TypeAlias = Mapping[str, Mapping[Hashable, None]]

log = logging.getLogger("async_task.references")

CLOSE_S: Final = 5.0
"""How long the end of a task waits for what was opened for it; as long as `op_timeout` is."""


class SharedFetch:
    """What several payloads refer to. Belongs to one event loop."""

    def __init__(self) -> None:
        self._wanted: dict[str, dict[Hashable, None]] = {}
        self._fetching: asyncio.Task[_Found] | None = None
        self._waiting = 0

    def add(self, payload: bytes) -> None:
        """Count in what a payload refers to; one that cannot be read fails when it is opened."""
        with contextlib.suppress(DecodeError):
            for tag, references in codec().references(payload).items():
                self._wanted.setdefault(tag, {}).update(references)

    @asynccontextmanager
    async def opened(self, payload: bytes) -> AsyncGenerator[Codec]:
        """Give a codec that decodes a payload to values; they are its own until this is left.

        Raises:
            DecodeError: The payload is malformed.
        """
        wanted = codec().references(payload)
        if not wanted:
            yield codec()
            return
        fetched = await self._fetched(wanted)
        async with AsyncExitStack() as stack:
            found = {
                tag: await stack.enter_async_context(fetched[tag].opened(list(references)))
                for tag, references in wanted.items()
            }
            yield codec().resolving(found)

    async def _fetched(self, wanted: _Wanted) -> _Found:
        if self._wanted == wanted:
            return await self._shared()
        try:
            return await self._shared()
        except Exception:  # what others refer to must not fail this one
            return await _fetch(wanted)

    async def _shared(self) -> _Found:
        if self._fetching is None:
            self._fetching = asyncio.create_task(_fetch(self._wanted))
        fetching = self._fetching
        self._waiting += 1
        try:
            return await asyncio.shield(fetching)
        finally:
            self._waiting -= 1
            if not self._waiting and not fetching.done():
                fetching.cancel()
                self._fetching = None  # for one that starts later


async def _fetch(wanted: _Wanted) -> _Found:
    codecs = codec().reference_codecs
    return {tag: await codecs[tag].fetch(list(references)) for tag, references in wanted.items()}


_closing: set[asyncio.Task[None]] = set()


async def closed(scope: AsyncExitStack) -> None:
    """Leave a scope; what that raises is logged, and a caller who is cancelled need not wait.

    What has run is settled as it ended, whatever becomes of what it used.
    """
    closing = asyncio.create_task(_close(scope))
    _closing.add(closing)
    closing.add_done_callback(_closing.discard)
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.shield(closing)


async def _close(scope: AsyncExitStack) -> None:
    try:
        async with asyncio.timeout(CLOSE_S):
            await scope.aclose()
    except Exception as exc:
        log.warning("what was opened for a task's arguments is not closed: %r", exc)


async def decoded(data: bytes) -> object:
    """Return an encoded value, with what it refers to fetched and closed again.

    Raises:
        DecodeError: It is malformed.
    """
    if not codec().refers(data):
        return codec().decode(data)
    fetch = SharedFetch()
    fetch.add(data)
    async with fetch.opened(data) as decoder:
        return decoder.decode(data)
