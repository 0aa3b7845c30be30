"""A worker that is told to stop, ends; what it had not finished goes back."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from subprocess import Popen

    from cli.conftest import Shell

APP = """
import asyncio, threading
from async_task import set_global_config, task

set_global_config(driver="sqlite")

@task
async def sleeper():
    print("begun", flush=True)
    await asyncio.Event().wait()

@task
def stuck():
    print("begun", flush=True)
    threading.Event().wait()

if __name__ == "__main__":
    import sys
    asyncio.run(globals()[sys.argv[1]].dispatch())
"""


def begin(shell: Shell, task: str, grace: str) -> Popen[str]:
    """Start a worker and wait until it runs that task."""
    shell.write("app.py", APP)
    assert shell.python("app.py", task).code == 0
    worker = shell.start("-m", "async_task", "worker", "--grace", grace)
    assert worker.stdout is not None
    assert worker.stdout.readline() == "begun\n"
    return worker


def assert_put_back(shell: Shell) -> None:
    (queue,) = shell.run("queues", "--json").json
    assert (queue["ready"], queue["leased"], queue["dead"]) == (1, 0, 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
def test_it_ends_within_grace(shell: Shell, number: signal.Signals) -> None:
    worker = begin(shell, "sleeper", "0.1")
    worker.send_signal(number)
    _, err = worker.communicate(timeout=60)
    assert worker.returncode == 0
    assert "Traceback" not in err
    assert_put_back(shell)


def test_a_second_signal_ends_it_at_once(shell: Shell) -> None:
    worker = begin(shell, "sleeper", "3600")
    worker.send_signal(signal.SIGTERM)
    assert worker.stderr is not None
    while "stopping" not in worker.stderr.readline():
        pass
    worker.send_signal(signal.SIGTERM)
    worker.communicate(timeout=60)
    assert worker.returncode == 0
    assert_put_back(shell)


def test_a_thread_that_does_not_end_is_left_behind(shell: Shell) -> None:
    worker = begin(shell, "stuck", "0.1")
    worker.send_signal(signal.SIGTERM)
    _, err = worker.communicate(timeout=60)
    assert worker.returncode == 0
    assert "leaving behind what does not end (tasks: 1)" in err
    assert_put_back(shell)
