"""The thread that talks to RabbitMQ.

A lease is held by a connection, and a connection is kept alive by whoever answers its heartbeats.
That is this thread: a task that blocks the worker's own loop, for however long, loses no lease.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING, Any, Final, TypeVar

from async_task.spi.errors import ConnectionLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")

log = logging.getLogger("async_task.rabbitmq")

_ENDINGS: Final = 2
"""How often what still runs at the end is cancelled: aiormq says farewell when it is first."""
_ENDING_S: Final = 1.0
"""How long it may take to end each time; a server that is frozen answers nothing."""


class IoThread:
    """An event loop in a thread of its own, where all of a driver's connections live.

    It is of the same kind as the caller's, since one of uvloop's takes a sixth less time (drain:
    76 us of CPU per task before, 64 after).

    Its methods belong to the caller's loop. Nothing that is run here is ever cancelled by a caller:
    a cancelled call of aiormq closes its channel, and every lease with it.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: threading.Event = threading.Event()

    @property
    def running(self) -> bool:
        """Whether it was started and not stopped."""
        return self._loop is not None

    def start(self) -> None:
        """Begin, if it has not begun."""
        if self._loop is None:
            self._loop = loop = type(asyncio.get_running_loop())()
            loop.set_exception_handler(_ignore)
            self._ended = ended = threading.Event()
            name = "async-task-rabbitmq"
            threading.Thread(target=_serve, args=(loop, ended), name=name, daemon=True).start()

    async def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the thread; a caller that is cancelled leaves it running.

        Raises:
            ConnectionLostError: The thread does not run.
        """
        loop = self._loop
        if loop is None:
            coroutine.close()
            raise ConnectionLostError("the RabbitMQ driver is not open", retryable=False)
        future = asyncio.run_coroutine_threadsafe(coroutine, loop)
        try:
            return await asyncio.shield(asyncio.wrap_future(future))
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if future.cancelled() and not (task and task.cancelling()):
                raise ConnectionLostError("the RabbitMQ driver was closed") from error
            raise

    def post(self, callback: Callable[..., object], *arguments: object) -> None:
        """Call something in the thread, after all that was run or posted before."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(callback, *arguments)

    async def stop(self) -> None:
        """End the thread, with all that runs in it; bounded by a few seconds."""
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)
            await asyncio.to_thread(self._ended.wait, _ENDINGS * _ENDING_S + 1)


def _serve(loop: asyncio.AbstractEventLoop, ended: threading.Event) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        for _ in range(_ENDINGS):
            if tasks := asyncio.all_tasks(loop):
                for task in tasks:
                    task.cancel()
                loop.run_until_complete(asyncio.wait(tasks, timeout=_ENDING_S))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()
        ended.set()


def _ignore(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Keep quiet about what aiormq's own tasks end with; whoever waited for them is told."""
    log.debug("%s", context.get("message"), exc_info=context.get("exception"))
