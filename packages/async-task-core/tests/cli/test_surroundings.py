"""What surrounds a run is there wherever it runs: middleware, the log, events."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from cli.conftest import Shell

APP = """
import asyncio, logging, os, sys, threading
from async_task import current_context, set_global_config, task
from async_task.core.events import listen
from async_task.core.middleware import Middleware, add_middleware
from async_task.runtime.logs import TaskFilter

set_global_config(driver="sqlite", default_retry_delay=0)
log = logging.getLogger("shop")

own = logging.getLogger("own")
handler = logging.StreamHandler(sys.__stdout__)  # imported, stdout is the log's
handler.addFilter(TaskFilter())
handler.setFormatter(logging.Formatter("own %(task)s %(task_id)s %(attempt)s %(message)s"))
own.addHandler(handler)
own.propagate = False


def say(*words):
    print(*words, flush=True)


def body(where):
    log.warning("100 %% in the %s", where)
    own.info("in the %s", where)
    if current_context().attempt == 0:
        raise ValueError("not at first")


@task
async def on_loop():
    body("loop")

@task
def in_thread():
    assert threading.current_thread() is not threading.main_thread()
    body("thread")

@task(process=True)
def in_child():
    assert os.getppid() == int(os.environ["WORKER"])
    body("child")


class Around(Middleware):
    async def execute(self, context, run):
        here = "child" if os.environ.get("WORKER") != str(os.getpid()) else "worker"
        main = threading.current_thread() is threading.main_thread()
        say("around", context.task, context.attempt, here, main)
        log.info("around it")
        return await run()

    async def dispatch(self, call, send):
        say("sending", call.definition.name)
        return await send(call)


add_middleware(Around())


@listen
def heard(event):
    here = "child" if os.environ.get("WORKER", str(os.getpid())) != str(os.getpid()) else "parent"
    say("heard", event.kind, event.task, event.attempt, here)


async def main():
    for call in (on_loop, in_thread, in_child):
        say("id", call.name, await call.dispatch())
    own.warning("outside")


if __name__ == "__main__":
    asyncio.run(main())
elif os.getenv("ASYNC_TASK_TEST_WORKER"):
    os.environ.setdefault("WORKER", str(os.getpid()))
"""
TASKS = {"app:on_loop": "loop", "app:in_thread": "thread", "app:in_child": "child"}


@pytest.fixture
def ids(shell: Shell) -> dict[str, str]:
    """Dispatch one task of each kind; return their ids by name."""
    shell.write("app.py", APP)
    sent = shell.python("app.py")
    assert sent.code == 0, sent.err
    lines = [line.split() for line in sent.out.splitlines()]
    assert [words[1] for words in lines if words[0] == "sending"] == list(TASKS)
    assert [words[1:4] for words in lines if words[0] == "heard"] == [
        ["dispatched", name, "0"] for name in TASKS
    ]
    assert "own None None None outside" in sent.out
    return {words[1]: words[2] for words in lines if words[0] == "id"}


def work(shell: Shell, *options: str) -> tuple[list[list[str]], str]:
    """Run them, each twice; return what they printed, by line and word, and the log."""
    worked = shell.run("worker", "--stop-when-empty", *options, ASYNC_TASK_TEST_WORKER="1")
    assert worked.code == 0, worked.err
    return [line.split() for line in worked.out.splitlines()], worked.err


def test_middleware_and_events(shell: Shell, ids: dict[str, str]) -> None:
    lines, _ = work(shell)
    for name, where in TASKS.items():
        around = [words[2:] for words in lines if words[:2] == ["around", name]]
        here = "child" if where == "child" else "worker"
        assert around == [["0", here, "True"], ["1", here, "True"]]
        heard = [(w[1], *w[3:]) for w in lines if w[0] == "heard" and w[2] == name]
        assert heard == [
            ("started", "0", "parent"),
            ("retrying", "0", "parent"),
            ("started", "1", "parent"),
            ("done", "1", "parent"),
        ]


def test_json_lines_name_the_task(shell: Shell, ids: dict[str, str]) -> None:
    _, log = work(shell, "--log-format", "json")
    lines: list[dict[str, Any]] = [json.loads(line) for line in log.splitlines()]
    for name, where in TASKS.items():
        expected = [{"task": name, "task_id": ids[name], "attempt": attempt} for attempt in (0, 1)]
        for message in (f"100 % in the {where}", "around it"):
            found = [
                {key: line[key] for key in ("task", "task_id", "attempt")}
                for line in lines
                if line["message"] == message and line["task"] == name
            ]
            assert found == expected
    assert {line["logger"] for line in lines} >= {"shop", "async_task.worker"}
    assert all(line.keys() >= {"time", "level", "logger", "message"} for line in lines)
    (first,) = [line for line in lines if line["message"].startswith("working on")]
    assert "task" not in first


def test_text_lines_name_the_task(shell: Shell, ids: dict[str, str]) -> None:
    _, log = work(shell, "--log-level", "warning")
    for name, where in TASKS.items():
        for attempt in (0, 1):
            assert f"WARNING {name}[{ids[name]}] run {attempt}: 100 % in the {where}\n" in log
    assert "around it" not in log


def test_the_filter_works_on_a_handler_of_ones_own(shell: Shell, ids: dict[str, str]) -> None:
    lines, _ = work(shell)
    for name, where in TASKS.items():
        for attempt in (0, 1):
            assert ["own", name, ids[name], str(attempt), "in", "the", where] in lines
