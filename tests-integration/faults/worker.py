"""One worker process: `python -m faults.worker OPTIONS`, with `Options` as JSON."""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import os
import sys
import threading
import time
from typing import Any, Final

from async_task import Config, QueueDriver, Worker

from faults.app import WORKER, history
from faults.history import Event, Kind, now_ns

PULSE_S: Final = 0.1
STALL_S: Final = 0.5
"""A thread that gets to run this much late tells of a machine too busy to renew leases in time."""


def main(options: dict[str, Any]) -> None:
    """Work as told by `modules`, `config` and `worker`."""
    os.environ[WORKER] = str(os.getpid())
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    for module in options["modules"]:
        importlib.import_module(module)
    start_pulse(os.getppid())
    asyncio.run(_work(options["config"], options["worker"]))


async def _work(config: dict[str, Any], options: dict[str, Any]) -> None:
    worker = Worker(QueueDriver.from_config(Config(**config)), **options)
    await worker.start()
    if worker.running:  # threads that will not end: the interpreter would wait for them
        os._exit(0)


def start_pulse(parent: int | None = None) -> None:
    """Write down when this process could not run; end it with its parent, if that is given."""
    threading.Thread(target=_pulse, args=(parent,), daemon=True).start()


def _pulse(parent: int | None) -> None:
    while parent in (None, os.getppid()):
        slept_at = now_ns()
        time.sleep(PULSE_S)
        late_ns = now_ns() - slept_at - int(PULSE_S * 1e9)
        if late_ns > STALL_S * 1e9:
            history().append(Event(Kind.STALLED, now_ns(), os.getpid(), value=late_ns))
    os._exit(1)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
