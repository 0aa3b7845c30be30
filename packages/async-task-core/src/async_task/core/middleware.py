"""Code around every dispatch and every run.

    class Timed(Middleware):
        async def execute(self, context, run):
            began = time.perf_counter()
            try:
                return await run()
            finally:
                observe(context.task, time.perf_counter() - began)

    add_middleware(Timed())

The first one added is the outermost. A method that a class does not override is not called at all,
so what is unused costs nothing. What `execute` returns is the task's result, what it raises is how
the task failed; not calling `run` skips the task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from async_task.core.context import TaskContext
    from async_task.core.handle import TaskHandle
    from async_task.core.pending import PendingCall

Send: TypeAlias = "Callable[[PendingCall[Any]], Awaitable[TaskHandle[Any]]]"
"""What passes a call on: to the next middleware, or to the backend."""
Run: TypeAlias = "Callable[[], Awaitable[Any]]"
"""What runs the task, inside of the next middleware; gives its result."""


class Middleware:
    """Base of middleware: override what you need."""

    async def dispatch(self, call: PendingCall[Any], send: Send) -> TaskHandle[Any]:
        """Wrap the dispatch of one call; pass it, or another one, on to `send`.

        What it raises is what `dispatch` raises, and nothing is sent then.
        """
        return await send(call)

    async def execute(self, context: TaskContext, run: Run) -> Any:
        """Wrap one run of a task, where the task runs: on the loop, also for thread tasks."""
        return await run()


_sending: list[Middleware] = []
_running: list[Middleware] = []


def add_middleware(middleware: Middleware) -> None:
    """Wrap every dispatch and every run of this process, inside what was added before."""
    kind = type(middleware)
    if kind.dispatch is not Middleware.dispatch:
        _sending.append(middleware)
    if kind.execute is not Middleware.execute:
        _running.append(middleware)


def remove_middleware(middleware: Middleware) -> None:
    """Undo `add_middleware`."""
    for chain in (_sending, _running):
        if middleware in chain:
            chain.remove(middleware)


def dispatch_is_wrapped() -> bool:
    """Say whether any middleware wraps dispatches."""
    return bool(_sending)


def execution_is_wrapped() -> bool:
    """Say whether any middleware wraps runs."""
    return bool(_running)


def wrapped_send(send: Send) -> Send:
    """Return `send` with every middleware around it; itself if there is none."""
    for middleware in reversed(_sending):
        send = _around_send(middleware, send)
    return send


def wrapped_run(context: Callable[[], TaskContext], run: Run) -> Run:
    """Return `run` with every middleware around it; itself if there is none."""
    for middleware in reversed(_running):
        run = _around_run(middleware, context, run)
    return run


def _around_send(middleware: Middleware, send: Send) -> Send:
    return lambda call: middleware.dispatch(call, send)


def _around_run(middleware: Middleware, context: Callable[[], TaskContext], run: Run) -> Run:
    return lambda: middleware.execute(context(), run)
