"""Importing the application: once, quietly, and with its own error when that fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cli.conftest import Shell

TASKS = "from async_task import task\n@task\nasync def f(): ...\n"


def test_a_failing_module_shows_its_own_frames(shell: Shell) -> None:
    shell.write("settings.py", "def load():\n    return {}['key']\n")
    shell.write("main.py", f"import settings\n{TASKS}settings.load()\n")
    result = shell.run("worker")
    assert result.code == 1
    assert "Error: cannot import main (found in the working directory):\n" in result.err
    assert 'main.py", line 5, in <module>' in result.err
    assert 'settings.py", line 2, in load' in result.err
    assert result.err.endswith("  KeyError: 'key'\n")
    assert "importlib" not in result.err
    assert "async_task" not in result.err.replace(str(shell.folder), "")


def test_a_module_that_exits_is_a_failure(shell: Shell) -> None:
    shell.write("main.py", f"{TASKS}raise SystemExit(0)\n")
    result = shell.run("queues")
    assert result.code == 1
    assert "cannot import main" in result.err


def test_a_missing_import_of_a_module_is_told_from_a_missing_module(shell: Shell) -> None:
    shell.write("main.py", f"import nosuch\n{TASKS}")
    assert "No module named 'nosuch'" in shell.run("queues").err
    missing = shell.run("queues", "--app", "shop.tasks")
    assert missing.code == 1
    assert missing.err.startswith("Error: cannot import shop.tasks (--app): there is no module")
    assert "Traceback" not in missing.err


def test_what_a_module_prints_is_not_the_commands_output(shell: Shell) -> None:
    shell.write("main.py", f"print('hello')\n{TASKS}")
    result = shell.run("queues", "--json", "--driver", "memory")
    assert result.json == []
    assert result.err == "hello\n"


def test_a_file_is_imported_under_one_name(shell: Shell) -> None:
    shell.write("src/shop/__init__.py", "")
    shell.write("src/shop/mail.py", f"print('imported')\n{TASKS}")
    shell.write("first.py", "import sys\nsys.path.insert(0, 'src')\nimport shop.mail\n")
    result = shell.run(
        "worker", "--stop-when-empty", "--driver=memory", "--app=first", "--app=src/shop/mail.py"
    )
    assert result.code == 0
    assert result.err.count("imported\n") == 1
    assert "imported src.shop.mail, as shop.mail (--app)" in result.err
    assert "tasks: shop.mail:f\n" in result.err


def test_a_skipped_module_is_named_with_the_reason(shell: Shell) -> None:
    shell.write("main.py", f"import asyncio\n{TASKS}asyncio.run(f.func())\n")
    result = shell.run("worker", "--stop-when-empty", "--driver=memory")
    assert result.code == 0
    assert "skipped main.py: line 5 starts to work (asyncio.run)" in result.err
    assert "--app" in result.err
