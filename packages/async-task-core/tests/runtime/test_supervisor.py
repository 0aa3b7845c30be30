"""The supervisor with programs that are no workers."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
from async_task.runtime.supervisor import Limits, Supervisor

pytestmark = pytest.mark.anyio


async def test_signals_to_a_worker_that_is_ending_leave_its_exit_code(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It has ended and is not waited for yet: what signals it must not take its end for its own."""
    caplog.set_level("INFO", "async_task.supervisor")
    supervisor = Supervisor(["sleep", "600"], 1, grace_s=60, limits=Limits())
    running = asyncio.create_task(supervisor.run())
    while "started" not in caplog.text:  # noqa: ASYNC110 - another process
        await asyncio.sleep(0.005)
    while not running.done():
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0)
    assert await running == 0
    assert "Unknown child" not in caplog.text
