"""Dispatching from code that has no event loop: a Flask view, a script, a task in a thread."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from typing import TYPE_CHECKING, Any, Final, TypeVar

from async_task.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")

CLOSE_S: Final = 5.0
"""How long the end of a process waits for connections to close."""


def run_sync(
    call: Callable[[], Coroutine[Any, Any, T]], loop: asyncio.AbstractEventLoop | None = None
) -> T:
    """Run what `call` returns on a loop in another thread, and wait for it.

    Without a `loop` it is this process's own, started on first use; its connections stay open for
    the next call and close with the process, and concurrent calls share round trips.

    Raises:
        ConfigurationError: An event loop runs in this thread: waiting would block it.
    """
    if running_loop() is not None:
        msg = "dispatch_sync() would block the event loop that runs here; await dispatch() instead"
        raise ConfigurationError(msg)
    return block(call, loop)


def block(
    call: Callable[[], Coroutine[Any, Any, T]], loop: asyncio.AbstractEventLoop | None = None
) -> T:
    """Do as `run_sync`, also where an event loop runs in this thread: it stands meanwhile.

    For what has to be done before a blocking call of another library returns.
    """
    if loop is None:
        background = _background()
        if background.is_here:
            raise ConfigurationError(
                "code on the background loop of dispatch_sync() must not block it"
            )
        loop = background.loop
    return asyncio.run_coroutine_threadsafe(call(), loop).result()


class _Background:
    """An event loop in a thread, from its making until the process ends."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="async-task-sync", daemon=True)
        self._thread.start()
        self._started.wait()
        atexit.register(self._close)

    @property
    def is_here(self) -> bool:
        return threading.current_thread() is self._thread

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._started.set()
        await self._ended.wait()

    def _close(self) -> None:
        if self.pid == os.getpid():  # a forked child has the hook, not the thread
            self.loop.call_soon_threadsafe(self._ended.set)
            self._thread.join(CLOSE_S)


_lock = threading.Lock()
_current: _Background | None = None


def _background() -> _Background:
    global _current
    with _lock:
        if _current is None or _current.pid != os.getpid():
            _current = _Background()
        return _current


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop that runs in this thread, if one does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
