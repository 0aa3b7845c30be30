"""Several workers from one command line: what keeps them from starting, and queues by weight."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from async_task.runtime.supervisor import Limits, Supervisor

if TYPE_CHECKING:
    from pathlib import Path

    from cli.conftest import Shell

SETTINGS = 'from async_task import set_global_config\nset_global_config(driver="sqlite")\n'


@pytest.mark.parametrize(
    ("source", "options", "code", "message"),
    [
        (SETTINGS + "import absent\n", (), 1, "No module named 'absent'"),
        ("def broken(:\n", (), 1, "SyntaxError"),
        (SETTINGS, ("--url", "nosuch://host"), 2, "nosuch"),
        (SETTINGS, ("--sqlite-path", "missing/tasks.db"), 1, "missing"),
    ],
    ids=["import", "syntax", "usage", "configuration"],
)
def test_workers_that_cannot_start_end_it_with_one_message(
    shell: Shell, source: str, options: tuple[str, ...], code: int, message: str
) -> None:
    shell.write("app.py", source)
    ended = shell.run("worker", "--app", "app.py", "--processes", "3", *options)
    assert ended.code == code
    assert len([line for line in ended.err.splitlines() if line.startswith("Error: ")]) == 1
    assert message in ended.err
    assert ended.err.count("a worker cannot start") == 1
    assert len([line for line in ended.err.splitlines() if line.endswith(" started")]) == 1


@pytest.mark.parametrize(
    "options",
    [
        ("--queues", "high:0"),
        ("--queues", "high:many,low"),
        ("--concurrency", "0"),
        ("--max-tasks", "1", "--recycle-tasks", "1"),
    ],
    ids=" ".join,
)
def test_options_that_cannot_be_start_nothing(shell: Shell, options: tuple[str, ...]) -> None:
    ended = shell.run("worker", "--processes", "2", *options)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.count("Error: ") == 1
    assert "started" not in ended.err


WEIGHTED = (
    SETTINGS
    + """
import asyncio
from async_task import task

@task
async def tell(queue: str):
    print(queue, flush=True)

async def main():
    for queue in ("low", "high"):
        await asyncio.gather(*(tell(queue).on_queue(queue).dispatch() for _ in range(200)))

if __name__ == "__main__":
    asyncio.run(main())
"""
)


def test_queues_share_by_weight(shell: Shell) -> None:
    shell.write("app.py", WEIGHTED)
    assert shell.python("app.py").code == 0
    ended = shell.run("worker", "--queues", "high:6,low:1", "--max-tasks", "140")
    assert ended.code == 0
    assert Counter(ended.out.split()) == pytest.approx({"high": 120, "low": 20}, rel=0.1)


@pytest.mark.anyio
async def test_a_worker_that_dies_again_and_again_is_given_a_rest(tmp_path: Path) -> None:
    lives = tmp_path / "lives"
    source = f"""
import os
lives = os.open({str(lives)!r}, os.O_RDWR | os.O_APPEND | os.O_CREAT)
if os.fstat(lives).st_size < 5:
    os.write(lives, b"x")
    os.kill(os.getpid(), 9)
"""
    supervisor = Supervisor([sys.executable, "-c", source], 1, grace_s=1, limits=Limits())
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await supervisor.run() == 0
    # The pauses are at least half of 0.1, 0.2, 0.4, 0.8 and 1.6 s.
    assert loop.time() - began >= 1.5


@pytest.mark.anyio
async def test_a_worker_that_had_stopped_when_it_is_told_to_is_no_failure() -> None:
    source = """
import os, signal, time
os.write(int(os.environ["ASYNC_TASK_SUPERVISED"]), b"R")
os.kill(os.getppid(), signal.SIGTERM)
time.sleep(60)
"""
    supervisor = Supervisor([sys.executable, "-c", source], 1, grace_s=60, limits=Limits())
    assert await supervisor.run() == 0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
