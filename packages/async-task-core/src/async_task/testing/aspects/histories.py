"""Agreeing with a model, whatever happens in whatever order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from async_task.testing.harness import DriverHarness


class Histories:
    """What all rules together promise."""

    async def test_random_histories_agree_with_the_model(
        self, harness: DriverHarness, pytestconfig: pytest.Config
    ) -> None:
        """A driver is never in another state than a plain model of it.

        A few histories that are always the same; `--async-task-examples N` tries others.
        """
        pytest.importorskip("hypothesis", reason='needs pip install "async-task-core[testing]"')
        from async_task.testing.machine import compare

        examples: int | None = pytestconfig.getoption("--async-task-examples")
        await asyncio.to_thread(compare, harness, asyncio.get_running_loop(), examples)
