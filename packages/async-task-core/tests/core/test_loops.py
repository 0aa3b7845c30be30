"""Dispatchers belong to a running loop and end with it: there is nothing to clean up."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from async_task.config import Config, get_global_config
from async_task.core.dispatcher import get_dispatcher
from async_task.core.queue_driver import QueueDriver
from async_task.core.task import task
from async_task.drivers.memory import MemoryDriver

QUICK_START = """
import asyncio
from async_task.config import set_global_config
from async_task.core.task import task

set_global_config(driver="memory")

@task
async def send_email(to: str, subject: str, body: str):
    return f"Email sent to {to}"

async def main():
    for i in range(10):
        task_id = await send_email.dispatch(to=f"user{i}@example.com", subject="Hi", body="...")
        print(f"Task dispatched: {task_id}")
    results = await asyncio.gather(*(send_email.dispatch(f"{i}", "", "") for i in range(50)))
    assert len(set(results)) == 50

if __name__ == "__main__":
    asyncio.run(main())
    asyncio.run(main())
"""


def test_the_quick_start_ends_in_silence_twice_in_one_process(tmp_path: Path) -> None:
    script = tmp_path / "quick_start.py"
    script.write_text(QUICK_START)
    run = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", str(script)], capture_output=True, text=True
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.count("Task dispatched: ") == 20


@pytest.mark.parametrize("turns", range(8))
def test_a_loop_may_end_at_any_point_of_a_dispatch(turns: int) -> None:
    @task(name=f"loops-ending-{turns}")
    async def f() -> None: ...

    async def main() -> None:
        await get_dispatcher().driver.connect()
        sending = asyncio.create_task(f.dispatch())
        for _ in range(turns):
            await asyncio.sleep(0)
        assert sending is not None

    asyncio.run(main())


def test_every_loop_has_its_own_dispatcher_and_closes_it() -> None:
    async def dispatcher() -> object:
        assert get_dispatcher() is get_dispatcher()
        found = get_dispatcher()
        await found.driver.connect()
        assert isinstance(found.driver.driver, MemoryDriver)
        return found

    first, second = asyncio.run(dispatcher()), asyncio.run(dispatcher())
    assert first is not second
    for closed in (first, second):
        assert not closed.driver.driver.is_open  # type: ignore[attr-defined]  # the memory driver's own


def test_a_driver_object_serves_one_loop_after_the_other() -> None:
    driver = QueueDriver.from_config(Config(driver="memory", memory_name="loops"))

    @task(driver=driver, name="loops-task")
    def f() -> None: ...

    async def main() -> int:
        await asyncio.gather(*(f.dispatch() for _ in range(10)))
        return await driver.get_queue_size("default")

    assert (asyncio.run(main()), asyncio.run(main())) == (10, 20)


def test_without_a_loop_there_is_no_dispatcher() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        get_dispatcher()


def test_dispatchers_follow_the_global_configuration_at_the_time() -> None:
    async def main() -> None:
        from async_task.config import set_global_config

        first = get_dispatcher()
        set_global_config(**get_global_config().given | {"namespace": "other"})
        assert get_dispatcher() is not first
        assert get_dispatcher().driver.config.namespace == "other"

    asyncio.run(main())
