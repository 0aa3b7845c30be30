"""SIGTERM and SIGINT: the first stops a worker gently, the second at once."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import FrameType


@contextlib.contextmanager
def stop_signals(gently: Callable[[], None], now: Callable[[], None]) -> Generator[None]:
    """Call `gently` on the first signal and `now` on further ones, while the block runs.

    Handlers are restored at the end. Outside the main thread nothing is installed, since a process
    has one set of handlers; where the loop cannot take signals (Windows) plain handlers do it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    received = 0

    def on_signal() -> None:
        nonlocal received
        received += 1
        (gently if received == 1 else now)()

    def forward(_number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(on_signal)

    signals = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in signals}
    for number in signals:
        try:
            loop.add_signal_handler(number, on_signal)
        except NotImplementedError:
            signal.signal(number, forward)
    try:
        yield
    finally:
        for number in signals:
            with contextlib.suppress(NotImplementedError):
                loop.remove_signal_handler(number)
            signal.signal(number, before[number])
