"""The contract's first page, as it stands."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cli.conftest import Shell


def test_ten_emails_once_each(shell: Shell, quick_start: str) -> None:
    shell.write("main.py", quick_start)
    script = shell.python("main.py")
    assert (script.code, script.err) == (0, "")
    assert script.out.count("Task dispatched: ") == 10
    worker = shell.run("worker", "--stop-when-empty")
    assert worker.code == 0
    assert sorted(re.findall(r"Sending email to (\S+):", worker.out)) == [
        f"user{i}@example.com" for i in range(10)
    ]
    assert "imported main (found in the working directory)" in worker.err
    assert "tasks: main:send_email" in worker.err
    assert "default of sqlite, 10 tasks at a time" in worker.err
    assert "Warning" not in worker.err
    assert shell.run("worker", "--stop-when-empty").out == ""


def test_a_script_in_a_folder_has_the_name_it_is_imported_by(
    shell: Shell, quick_start: str
) -> None:
    shell.write("scripts/send-mail.py", quick_start)
    assert shell.python("scripts/send-mail.py").code == 0
    worker = shell.run("worker", "--stop-when-empty", "--app", "scripts/send-mail.py")
    assert "tasks: scripts.send-mail:send_email" in worker.err
    assert worker.out.count("Sending email") == 10


def test_log_lines_as_json(shell: Shell, quick_start: str) -> None:
    shell.write("main.py", quick_start)
    assert shell.python("main.py").code == 0
    worker = shell.run("worker", "--stop-when-empty", "--json")
    lines = [json.loads(line) for line in worker.err.splitlines()]
    assert {"time", "level", "logger", "message"} == set(lines[0])
    assert lines[0]["message"] == "imported main (found in the working directory)"


def test_without_tasks_it_says_how_to_name_them(shell: Shell) -> None:
    worker = shell.run("worker", "--stop-when-empty", "--driver", "sqlite")
    assert worker.code == 0
    assert "WARNING no tasks found" in worker.err
    assert "--app" in worker.err


UVLOOP = """
import asyncio

def new_event_loop():
    print("made by uvloop")
    return asyncio.new_event_loop()
"""


def test_uvloop_is_used_when_installed(shell: Shell) -> None:
    shell.write("uvloop.py", UVLOOP)
    worker = shell.run("worker", "--stop-when-empty", "--driver", "memory")
    assert (worker.code, worker.out) == (0, "made by uvloop\n")
