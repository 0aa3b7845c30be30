"""SIGTERM and SIGINT: the first stops a worker gently, the second at once."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import FrameType


_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_listeners: list[Callable[[], None]] = []
_before: dict[int, Any] = {}


@contextlib.contextmanager
def stop_signals(gently: Callable[[], None], now: Callable[[], None]) -> Generator[None]:
    """Call `gently` on the first signal and `now` on further ones, while the block runs.

    A process has one set of handlers. Blocks of one loop share them: a signal reaches all, and the
    last one to end restores what was there before. Outside the main thread nothing is installed;
    where the loop cannot take signals (Windows) plain handlers do it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received = 0

    def on_signal() -> None:
        nonlocal received
        received += 1
        (gently if received == 1 else now)()

    if not _listeners:
        _install(asyncio.get_running_loop())
    _listeners.append(on_signal)
    try:
        yield
    finally:
        _listeners.remove(on_signal)
        if not _listeners:
            _restore(asyncio.get_running_loop())


def _deliver() -> None:
    for listener in _listeners:
        listener()


def _install(loop: asyncio.AbstractEventLoop) -> None:
    def forward(_number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(_deliver)

    for number in _SIGNALS:
        _before[number] = signal.getsignal(number)
        try:
            loop.add_signal_handler(number, _deliver)
        except NotImplementedError:
            signal.signal(number, forward)


def _restore(loop: asyncio.AbstractEventLoop) -> None:
    for number in _SIGNALS:
        with contextlib.suppress(NotImplementedError):
            loop.remove_signal_handler(number)
        signal.signal(number, _before.pop(number) or signal.SIG_DFL)  # None: not Python's
