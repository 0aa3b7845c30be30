"""Cancelling a call at each of its awaits in turn."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

T = TypeVar("T")


async def cancelled_at(suspension: int, call: Coroutine[Any, Any, T]) -> T | None:
    """Run a call in a task that is cancelled while it is suspended for the n-th time.

    Args:
        suspension: 0 for the first await that really waits.
        call: The call; one that suspends less often runs through.

    Returns:
        What it returned, or `None` if the cancellation reached it.
    """
    task = asyncio.create_task(_run(suspension, call))
    try:
        return await task
    except asyncio.CancelledError:
        if not task.cancelled():
            raise  # somebody cancelled this test, not the call
        return None


async def _run(suspension: int, call: Coroutine[Any, Any, T]) -> T:
    return await _Counted(suspension, call)


class _Counted(Generic[T]):
    def __init__(self, suspension: int, call: Coroutine[Any, Any, T]) -> None:
        self._left = suspension
        self._call = call

    def __await__(self) -> Generator[Any, Any, T]:
        proceed: Callable[[], Any] = partial(self._call.send, None)
        while True:
            try:
                awaited = proceed()
            except StopIteration as stop:
                answer: T = stop.value
                return answer
            if self._left == 0:
                task = asyncio.current_task()
                assert task is not None
                asyncio.get_running_loop().call_soon(task.cancel)
            self._left -= 1
            try:
                yield awaited
            except BaseException as error:
                proceed = partial(self._call.throw, error)
            else:
                proceed = partial(self._call.send, None)
