"""The worker's end of the line to its supervisor: saying ready, and not outliving it."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
import time
from typing import TYPE_CHECKING, Final

from async_task.runtime.supervisor import READY, SUPERVISED

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("async_task.worker")

LAST_S: Final = 1.5
"""How long a worker whose supervisor died has to put its tasks back."""


class Leash:
    """Ends a worker soon after its supervisor, however busy its event loop is.

    Args:
        line: The socket to the supervisor.
        stop_now: What makes the worker stop at once; called in the running loop.
    """

    def __init__(self, line: socket.socket, stop_now: Callable[[], None]) -> None:
        self._line = line
        self._stop_now = stop_now
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._watch, name="async-task-leash", daemon=True).start()

    def say_ready(self) -> None:
        """Tell the supervisor that this worker takes tasks."""
        self._line.send(READY)

    def _watch(self) -> None:
        self._line.recv(1)  # nothing is ever sent this way: it returns when the other end closes
        log.error("the supervisor is gone; stopping")
        self._loop.call_soon_threadsafe(self._stop_now)
        time.sleep(LAST_S)
        os._exit(1)


def inherited_line() -> socket.socket | None:
    """Return the socket that a supervisor gave to this process, if one did."""
    number = os.environ.pop(SUPERVISED, None)
    return None if number is None else socket.socket(fileno=int(number))
