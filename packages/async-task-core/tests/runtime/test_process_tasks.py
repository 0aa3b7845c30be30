"""Tasks in child processes: CPU-bound ones, and what happens when a child dies."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from async_task import Worker, get_dispatcher, set_global_config
from async_task.core.queue_driver import QueueDriver
from async_task.core.registry import registry
from async_task.errors import TaskFailedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

SOURCE = '''
"""Tasks that run in children, which import this module by its name."""
import os, signal, time
from pathlib import Path
from async_task import Task, current_context, task

@task(process=True, result_ttl=60)
def square(n: int) -> tuple[int, int, str]:
    return n * n, os.getpid(), current_context().task_id

@task(process=True, result_ttl=60)
async def coroutine(n: int) -> int:
    return -n

@task(process=True, result_ttl=60, timeout=0.3, max_retries=0)
def endless() -> None:
    while True:
        pass

@task(process=True, result_ttl=60, max_retries=1, retry_delay=0)
def dies_once(mark: str) -> int:
    if not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return current_context().attempt

class Dies(Task[None]):
    process = True
    max_retries = 1
    retry_delay = 0
    result_ttl = 60

    def __init__(self, told: str) -> None:
        self.told = told

    async def handle(self) -> None:
        os._exit(7)

    async def failed(self, exception: Exception) -> None:
        with open(self.told, "a") as file:
            file.write(f"{os.getpid()} {exception}\\n")

@task(process=True, result_ttl=60)
def signalled() -> int:
    os.kill(os.getpid(), signal.SIGTERM)  # as one who stops a whole group does
    os.kill(os.getpid(), signal.SIGINT)
    return current_context().deliveries

@task(process=True, result_ttl=60)
def big(data: bytes) -> bytes:
    return data
'''

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    name = f"process_tasks_{uuid.uuid4().hex}"
    (tmp_path / f"{name}.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    set_global_config(driver="memory", memory_name=name)
    before = dict(registry._by_name)
    yield importlib.import_module(name)
    registry._by_name.clear()
    registry._by_name.update(before)
    del sys.modules[name]


@pytest.fixture
def work(tasks: Any) -> Callable[[int], Awaitable[None]]:
    """Return a function that runs so many tasks."""

    async def work(count: int) -> None:
        driver = QueueDriver.from_config(get_dispatcher().driver.config)
        await Worker(driver, concurrency=4, max_tasks=count).start()

    return work


async def test_cpu_tasks_run_in_children_that_are_used_again(
    tasks: Any, work: Callable[[int], Awaitable[None]]
) -> None:
    handles = [await tasks.square.dispatch(n) for n in range(12)]
    await work(12)
    results = [await handle.result(5) for handle in handles]
    assert [square for square, _, _ in results] == [n * n for n in range(12)]
    assert [task_id for _, _, task_id in results] == handles
    pids = {pid for _, pid, _ in results}
    assert os.getpid() not in pids
    assert len(pids) <= 4


async def test_a_coroutine_may_run_in_a_child(
    tasks: Any, work: Callable[[int], Awaitable[None]]
) -> None:
    handle = await tasks.coroutine.dispatch(5)
    await work(1)
    assert await handle.result(5) == -5


async def test_a_time_limit_kills_the_child(
    tasks: Any, work: Callable[[int], Awaitable[None]]
) -> None:
    handle = await tasks.endless.dispatch()
    await work(1)
    with pytest.raises(TaskFailedError, match="longer than its timeout") as caught:
        await handle.result(5)
    assert caught.value.type == "async_task.errors.TaskTimeoutError"


async def test_a_killed_child_fails_that_attempt_alone(
    tasks: Any, work: Callable[[int], Awaitable[None]], tmp_path: Path
) -> None:
    victim = await tasks.dies_once.dispatch(str(tmp_path / "mark"))
    others = [await tasks.square.dispatch(n) for n in range(3)]
    await work(5)
    assert await victim.result(5) == 1  # one failure, then it ran
    assert [(await other.result(5))[0] for other in others] == [0, 1, 4]


async def test_failed_runs_in_a_fresh_child_when_the_last_one_died(
    tasks: Any, work: Callable[[int], Awaitable[None]], tmp_path: Path
) -> None:
    told = tmp_path / "told"
    handle = await tasks.Dies(str(told)).dispatch()
    await work(2)
    with pytest.raises(TaskFailedError, match="exit code 7") as caught:
        await handle.result(5)
    assert caught.value.reason == "failed"
    (line,) = told.read_text().splitlines()
    assert line.endswith("its process ended with exit code 7")
    assert int(line.split()[0]) != os.getpid()


async def test_large_arguments_and_results_pass_the_pipe(
    tasks: Any, work: Callable[[int], Awaitable[None]]
) -> None:
    data = os.urandom(900_000)
    handle = await tasks.big.dispatch(data)
    await work(1)
    assert await handle.result(5) == data


async def test_signals_to_the_whole_group_end_no_child(
    tasks: Any, work: Callable[[int], Awaitable[None]]
) -> None:
    handle = await tasks.signalled.dispatch()
    await work(1)
    assert await handle.result(5) == 1


SCRIPT = """
import asyncio
from async_task import Worker, get_dispatcher, set_global_config, task

set_global_config(driver="memory")

@task(process=True, result_ttl=60)
def double(n: int) -> int:
    return 2 * n

async def main():
    handle = await double.dispatch(21)
    await Worker(get_dispatcher().driver, max_tasks=1, stop_when_empty=True).start()
    print(await handle.result(30))

if __name__ == "__main__":
    asyncio.run(main())
"""


def test_a_script_in_a_folder_below_finds_its_tasks(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "doubling.py").write_text(SCRIPT)
    ran = subprocess.run(
        [sys.executable, "jobs/doubling.py"],
        cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "42\n", "")
