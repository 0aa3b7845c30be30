"""Dispatching without an event loop: from scripts, threads and tasks in threads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cli.conftest import Shell

APP = """
import asyncio, sys, threading
from concurrent.futures import ThreadPoolExecutor
from async_task import set_global_config, task
from async_task.errors import ConfigurationError

set_global_config(driver="sqlite")

@task
def note(what: str):
    sys.stdout.write(what + "\\n")  # in one piece: tasks in threads write at once
    sys.stdout.flush()

@task
def fans_out():
    first = note.dispatch_sync("from a thread task")
    second = note("and again").on_queue("default").dispatch_sync()
    assert first != second

def twice():
    assert note.dispatch_sync("plain") != note("configured").delay(0).dispatch_sync()

def threads():
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda n: note.dispatch_sync(f"thread {n}"), range(40)))
    assert len(ids) == 40

def around_loops():
    note.dispatch_sync("before")
    asyncio.run(note.dispatch("inside"))
    note.dispatch_sync("after")

def inside_a_loop():
    async def main():
        try:
            note.dispatch_sync("never")
        except ConfigurationError as error:
            assert "await dispatch() instead" in str(error)
        else:
            raise AssertionError("not refused")
        await asyncio.to_thread(note.dispatch_sync, "beside it")
    asyncio.run(main())

def in_a_task():
    fans_out.dispatch_sync()

def fails():
    try:
        note.dispatch_sync(object())
    except Exception as error:
        assert "object" in str(error)
    raise SystemExit(3)

if __name__ == "__main__":
    globals()[sys.argv[1]]()
"""

CASES = {
    "twice": ["configured", "plain"],
    "threads": sorted(f"thread {n}" for n in range(40)),
    "around_loops": ["after", "before", "inside"],
    "inside_a_loop": ["beside it"],
    "in_a_task": ["and again", "from a thread task"],
}


@pytest.mark.parametrize("case", CASES)
def test_it_arrives_and_the_process_ends_in_silence(shell: Shell, case: str) -> None:
    shell.write("app.py", APP)
    sent = shell.python("app.py", case)
    assert (sent.code, sent.err) == (0, "")
    worked = shell.run("worker", "--stop-when-empty", "--log-level", "warning")
    assert (worked.code, worked.err) == (0, "")
    assert sorted(worked.out.splitlines()) == CASES[case]


def test_an_error_leaves_the_exit_code_alone(shell: Shell) -> None:
    shell.write("app.py", APP)
    ended = shell.python("app.py", "fails")
    assert (ended.code, ended.err) == (3, "")
