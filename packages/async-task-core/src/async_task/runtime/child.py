"""A child process: runs the tasks its worker sends it, one at a time, and ends when it does.

Started as `python -m async_task.runtime.child REQUESTS REPLIES` with two inherited file
descriptors; standard streams stay the task's own.
"""

from __future__ import annotations

import asyncio
import ctypes
import importlib
import logging
import os
import queue
import signal
import sys
import threading
from typing import BinaryIO

from async_task.config import get_global_config, set_global_config
from async_task.core.queue_driver import QueueDriver
from async_task.core.registry import registry
from async_task.runtime.admission import Admission
from async_task.runtime.attempt import Attempt
from async_task.runtime.executor import Executor
from async_task.runtime.handover import (
    LENGTH,
    framed,
    pack_reply,
    unpack_hello,
    unpack_request,
)
from async_task.runtime.logs import configure_logging

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


log = logging.getLogger("async_task.worker")


def main(requests_fd: int, replies_fd: int) -> None:
    """Serve until the worker closes the pipe or dies."""
    _die_with_parent()
    # A terminal's Ctrl-C, and the SIGTERM of who stops a whole group, are the worker's to handle. A
    # handler that does nothing, unlike SIG_IGN, is not inherited by programs that a task starts.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: None)
    received: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    requests = os.fdopen(requests_fd, "rb")
    # A thread reads, so that the end of the pipe ends this process also while a task runs.
    threading.Thread(target=_read, args=(requests, received), daemon=True).start()
    hello = unpack_hello(received.get())
    if hello.logging is not None:
        level, as_json = hello.logging
        configure_logging(level, as_json=as_json)
    sys.path[:], sys.argv[:] = hello.path, hello.argv
    for module in hello.modules:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as exc:
            # The worker has it from somewhere an import does not reach; others are not to suffer.
            log.error("a child process cannot import %s, and not run its tasks: %s", module, exc)  # noqa: TRY400 - its words say it
    set_global_config(**hello.settings)  # after what the modules set, as in the worker
    driver = QueueDriver.from_config(get_global_config())
    admission, executor = Admission(registry, driver.config), Executor(driver=driver)
    with asyncio.Runner() as runner, os.fdopen(replies_fd, "wb") as replies:
        replies.write(framed(value=True))
        replies.flush()
        while True:
            lease, fault = unpack_request(received.get())
            outcome = admission.judge(lease, float("inf"))
            if isinstance(outcome, Attempt):
                outcome.fault = None if fault is None else fault.error()
                settlement = runner.run(executor.run(outcome))
                replies.write(pack_reply(settlement, committed=outcome.settled))
            else:
                replies.write(pack_reply(outcome, committed=False))
            replies.flush()


def _read(requests: BinaryIO, received: queue.SimpleQueue[bytes]) -> None:
    while True:
        head = requests.read(LENGTH.size)
        if len(head) < LENGTH.size:
            os._exit(0)
        received.put(requests.read(*LENGTH.unpack(head)))


def _die_with_parent() -> None:
    """Have the kernel end this process with its parent, where it can: also within C code."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
