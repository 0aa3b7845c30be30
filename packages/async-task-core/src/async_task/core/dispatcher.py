"""Which dispatcher a dispatch goes through: one per event loop and driver, closed with the loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, TypeVar

from async_task.config import get_global_config, set_config
from async_task.core.queue_driver import QueueDriver
from async_task.core.sending import Dispatcher as Dispatcher
from async_task.core.transactions import current_transaction

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from async_task.core.handle import TaskHandle
    from async_task.core.pending import PendingCall

R = TypeVar("R")


class _LoopDispatchers:
    """The dispatchers of one event loop: opened on first use, closed with the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.pid = os.getpid()
        self.bound: Dispatcher | None = None
        self._open: dict[object, Dispatcher] = {}
        # A loop closes its unfinished asynchronous generators when it shuts down: the one hook
        # through which something can end with a loop without its owner doing anything.
        self._guard = self._close_with_loop(loop)
        with contextlib.suppress(StopIteration):
            self._guard.__anext__().send(None)

    def get(self, driver: str | QueueDriver | None) -> Dispatcher:
        if _substitute is not None:
            driver = _substitute
        if isinstance(driver, QueueDriver):
            return self._opened(driver, lambda: driver)
        if driver is None and self.bound is not None:
            return self.bound
        # What was set, or None: reading the environment anew on each dispatch would cost 0.4 ms.
        key = (driver, set_config())
        return self._opened(key, lambda: QueueDriver.from_config(get_global_config(), name=driver))

    def _opened(self, key: object, make: Callable[[], QueueDriver]) -> Dispatcher:
        if key not in self._open:
            driver = make()
            self._open[key] = Dispatcher(driver, joins_transactions=driver is not _substitute)
        return self._open[key]

    async def _close_with_loop(self, loop: asyncio.AbstractEventLoop) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            _of_loop.pop(loop, None)
            for dispatcher in self._open.values():
                await dispatcher.close()


_substitute: QueueDriver | None = None


def substitute_driver(driver: QueueDriver | None) -> None:
    """Send everything this process dispatches to `driver`, whatever it asks for; None undoes it.

    For tests: it holds in every event loop and thread.
    """
    global _substitute
    _substitute = driver


_of_loop: dict[asyncio.AbstractEventLoop, _LoopDispatchers] = {}


def _running_loop_dispatchers() -> _LoopDispatchers:
    loop = asyncio.get_running_loop()
    found = _of_loop.get(loop)
    if found is None or found.pid != os.getpid():  # a forked child inherits no connection
        for other in [other for other in _of_loop if other.is_closed()]:
            del _of_loop[other]  # closed by somebody who did not shut it down first
        found = _of_loop[loop] = _LoopDispatchers(loop)
    return found


def get_dispatcher(driver: str | QueueDriver | None = None) -> Dispatcher:
    """Return the running loop's dispatcher for the default driver, or for the one given.

    It is made on first use and closed when the loop ends (as `asyncio.run` ends it): there is
    nothing to clean up.

    Raises:
        RuntimeError: No event loop is running.
        ConfigurationError: The configuration chooses no driver.
    """
    return _running_loop_dispatchers().get(driver)


def dispatched_in_transaction(call: PendingCall[R]) -> TaskHandle[R] | None:
    """Dispatch a call with the synchronous transaction it is to be in, or is to wait for.

    Returns:
        Its handle, or None if there is no such transaction.
    """
    options = call.options
    waits = options.after_commit is not None
    if not waits and options.connection is None and current_transaction.get() is None:
        return None
    driver = call.definition.options.driver
    if _substitute is not None:
        driver = _substitute
    if not isinstance(driver, QueueDriver):
        driver = QueueDriver.from_config(get_global_config(), name=driver)
    dispatcher = Dispatcher(driver, joins_transactions=driver is not _substitute)
    if waits:
        return dispatcher.dispatch_after_commit(call, is_sync=True)
    return dispatcher.dispatch_in_transaction(call)


def bind_dispatcher(dispatcher: Dispatcher | None) -> None:
    """Make `dispatcher` the running loop's default; whoever binds it closes it. None unbinds."""
    _running_loop_dispatchers().bound = dispatcher
