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
from async_task.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from async_task.config import Config
    from async_task.core.handle import TaskHandle
    from async_task.core.pending import PendingCall

R = TypeVar("R")


class _LoopDispatchers:
    """The dispatchers of one event loop: opened on first use, closed with the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.forks = _forks
        self.bound: Dispatcher | None = None
        self._open: dict[object, Dispatcher] = {}
        self._recent: dict[str | None, tuple[Config | None, Dispatcher]] = {}
        # A loop closes its unfinished asynchronous generators when it shuts down: the one hook
        # through which something can end with a loop without its owner doing anything.
        self._guard = self._close_with_loop(loop)
        with contextlib.suppress(StopIteration):
            self._guard.__anext__().send(None)

    def get(self, driver: str | QueueDriver | None) -> Dispatcher:
        if _substitute is not None:
            driver = _substitute
        elif self.bound is not None and _is_of(self.bound, driver):
            return self.bound
        if isinstance(driver, QueueDriver):
            return self._opened(driver, driver)
        # What was set, or None: reading the environment anew on each dispatch would cost 0.4 ms.
        config = set_config() if self.bound is None else self.bound.driver.config
        recent = self._recent.get(driver)
        if recent is not None and recent[0] is config:  # to hash a Config takes 1.5 us
            return recent[1]
        opened = self._opened((driver, config), driver)
        self._recent[driver] = config, opened
        return opened

    def _opened(self, key: object, driver: str | QueueDriver | None) -> Dispatcher:
        if key not in self._open:
            if not isinstance(driver, QueueDriver):
                driver = QueueDriver.from_config(_config(self.bound), name=driver)
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


def substituted_driver() -> QueueDriver | None:
    """Return what `substitute_driver` set, or None."""
    return _substitute


_of_loop: dict[asyncio.AbstractEventLoop, _LoopDispatchers] = {}
_forks = 0
"""How many forks lie between this process and the one that was started."""


def _forked() -> None:
    global _forks
    _forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def _is_of(dispatcher: Dispatcher, driver: str | QueueDriver | None) -> bool:
    """Say whether a task that asks for this driver, by name or not at all, gets it there."""
    return driver in (None, dispatcher.driver.name, dispatcher.driver)


def _config(bound: Dispatcher | None) -> Config:
    """Return the configuration that says what a driver's name means."""
    return get_global_config() if bound is None else bound.driver.config


def _running_loop_dispatchers() -> _LoopDispatchers:
    loop = asyncio.get_running_loop()
    found = _of_loop.get(loop)
    if found is None or found.forks != _forks:  # a forked child inherits no connection
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
        driver = _named(driver)
    dispatcher = Dispatcher(driver, joins_transactions=driver is not _substitute)
    if waits:
        return dispatcher.dispatch_after_commit(call, is_sync=True)
    return dispatcher.dispatch_in_transaction(call)


def _named(driver: str | None) -> QueueDriver:
    """Return the driver of that name, or the default one, for code that may have no loop."""
    bound = _bound()[1]
    if bound is not None and _is_of(bound, driver):
        return bound.driver
    return QueueDriver.from_config(_config(bound), name=driver)


def bind_dispatcher(dispatcher: Dispatcher | None) -> None:
    """Make `dispatcher` the running loop's default; whoever binds it closes it. None unbinds.

    Until then it also serves the threads of this process that have no loop, and its configuration
    says what the drivers that tasks name are.

    Raises:
        ConfigurationError: The loop has another one.
    """
    dispatchers = _running_loop_dispatchers()
    if dispatcher is not None and dispatchers.bound not in (None, dispatcher):
        msg = (
            "this event loop has a dispatcher bound to it already, so it would not be clear where"
            " f.dispatch() sends; let the applications of one loop share one integration"
        )
        raise ConfigurationError(msg)
    dispatchers.bound = dispatcher


def bound_loop() -> asyncio.AbstractEventLoop | None:
    """Return the running loop that a dispatcher is bound to, in whichever thread; None if none is.

    Raises:
        ConfigurationError: There are several, none of them in this thread.
    """
    return _bound()[0]


def _bound() -> tuple[asyncio.AbstractEventLoop, Dispatcher] | tuple[None, None]:
    found = [
        (loop, of_loop.bound)
        for loop, of_loop in list(_of_loop.items())
        if of_loop.bound is not None and of_loop.forks == _forks and loop.is_running()
    ]
    with contextlib.suppress(RuntimeError):
        running = asyncio.get_running_loop()
        found = [(loop, bound) for loop, bound in found if loop is running]
    if len(found) > 1:
        msg = (
            "several event loops of this process have a dispatcher, and this thread has no loop;"
            " say which one by anyio.from_thread.run(call.dispatch)"
        )
        raise ConfigurationError(msg)
    return found[0] if found else (None, None)
