"""`async-task bench`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from async_task import Config, QueueDriver
from async_task.cli.bench_steps import BENCH_QUEUE, measured
from async_task.drivers.memory import MemoryDriver, MemorySettings
from async_task.spi.driver import DriverOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_task.spi.messages import Message
    from cli.conftest import Cli


@pytest.mark.parametrize("url", ["memory://", "sqlite:///bench.db"])
def test_every_step_is_about_all_tasks(cli: Cli, url: str) -> None:
    result = cli("bench", url, "--tasks", "200", "--json")
    assert (result.code, result.json["queue"]) == (0, BENCH_QUEUE)
    steps = result.json["steps"]
    assert [step["tasks"] for step in steps] == [10, 200, 210, 10, 200, 210]
    assert all(step["rate"] > 0 and step["cpu_us"] > 0 for step in steps)
    assert not any(step["lost"] or step["repeated"] for step in steps)


def test_it_leaves_an_empty_queue_and_prints_a_table(cli: Cli) -> None:
    lines = cli("bench", "--driver", "sqlite", "--tasks", "100").out.splitlines()
    assert lines[0].split() == ["STEP", "TASKS", "TASKS/S", "CPU", "US/TASK", "LOST", "TWICE"]
    assert len(lines) == 7
    counted = cli("queues", BENCH_QUEUE, "--driver", "sqlite", "--json").json
    assert [(q["ready"], q["leased"], q["dead"]) for q in counted] == [(0, 0, 0)]


class Forgetful(MemoryDriver):
    """Loses one of every hundred."""

    async def enqueue(self, messages: Sequence[Message]) -> Sequence[int]:
        return await super().enqueue(messages[:99])


async def lost(driver: QueueDriver) -> list[int]:
    return [step.lost for step in await measured(driver, 200, wait_ms=300)]


def test_what_a_backend_loses_is_told() -> None:
    config = Config(driver="memory")
    driver = Forgetful(MemorySettings(name="forgetful"), DriverOptions())
    assert asyncio.run(lost(QueueDriver(driver, name="memory", config=config))) == [
        *(0, 0, 2),
        *(0, 0, 2),
    ]
