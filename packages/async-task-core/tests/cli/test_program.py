"""The frame: help, errors, exit codes, commands of plug-ins."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from async_task.plugins.manager import plugins
from async_task.spi.plugin import CommandInfo

if TYPE_CHECKING:
    from cli.conftest import Cli, Shell

COMMANDS = [
    ["worker"],
    ["migrate"],
    ["queues"],
    ["dead", "list"],
    ["dead", "show"],
    ["dead", "requeue"],
    ["dead", "purge"],
    ["doctor"],
    ["plugins"],
]


def test_help_lists_what_is_declared(cli: Cli) -> None:
    result = cli("--help")
    assert result.code == 0
    for info in plugins().commands.values():
        assert f"{info.name}  " in result.out
        assert info.summary in result.out


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_and_json(cli: Cli, command: list[str]) -> None:
    result = cli(*command, "--help")
    assert result.code == 0
    assert "--json" in result.out


def test_version(cli: Cli) -> None:
    assert cli("--version").out == f"async-task {version('async-task-core')}\n"


def test_the_module_is_the_program(shell: Shell, cli: Cli) -> None:
    assert shell.run("--help").out == cli("--help").out


def test_the_installed_script_is_the_program(shell: Shell) -> None:
    script = Path(sys.executable).with_name("async-task")
    assert shell.python(str(script), "--version").out.startswith("async-task ")


def test_completion_in_the_shell(shell: Shell) -> None:
    result = shell.run(_ASYNC_TASK_COMPLETE="bash_source")
    assert "_ASYNC_TASK_COMPLETE=bash_complete" in result.out
    typed = {"COMP_WORDS": "async-task q", "COMP_CWORD": "1"}
    assert shell.run(_ASYNC_TASK_COMPLETE="bash_complete", **typed).out == "plain,queues\n"


def test_an_unknown_command_names_the_nearest(cli: Cli) -> None:
    result = cli("wroker")
    assert (result.code, result.out) == (2, "")
    assert "Did you mean 'worker'?" in result.err


def test_a_plugin_brings_commands(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    info = CommandInfo(name="greet", summary="Say hello.", target="greeting_cli:command")
    monkeypatch.setitem(plugins().commands, "greet", info)
    assert "Say hello." in cli("--help").out
    result = cli("greet")
    assert result.code == 1
    assert result.err.startswith("Error: 'greeting_cli:command', declared by a plug-in, cannot be")
    source = "import click\n@click.command()\ndef command():\n    click.echo('hello')\n"
    (tmp_path / "greeting_cli.py").write_text(source)
    assert cli("greet").out == "hello\n"


def joined(value: object) -> str:
    """Name a case after its arguments."""
    return " ".join(map(str, value)) if isinstance(value, list) else ""


USAGE_ERRORS = [
    (["--bogus"], "No such option"),
    (["worker", "--bogus"], "No such option"),
    (["worker", "--concurrency", "0"], "--concurrency"),
    (["worker", "--concurrency", "many"], "'many'"),
    (["worker", "--grace", "-1"], "grace must be at least 0"),
    (["worker", "--grace", "soon"], "takes float, not 'soon'"),
    (["worker", "--driver", "nosuch"], "there is no driver 'nosuch'"),
    (["worker", "--url", "nosuch://host"], "'nosuch'"),
    (["worker", "--url", "no url at all"], "url has no scheme"),
    (["worker", "--queues", "not a name"], "queue name 'not a name' is not valid"),
    (["worker", "--queues", "high,,low"], "queue name '' is not valid"),
    (["worker", "--queues", "high:6,low:no"], "low:no has no weight"),
    (["worker", "--log-level", "loud"], "loud"),
    (["queues", "not a name"], "queue name 'not a name' is not valid"),
    (["migrate", "--check", "--sql"], "exclude each other"),
    (["dead"], "Commands:"),
    (["dead", "lists"], "Did you mean 'list'?"),
    (["dead", "list", "--queue", ".."], "queue name '..' is not valid"),
    (["dead", "list", "--limit", "0"], "--limit"),
    (["dead", "list", "--reason", "bad luck"], "bad_payload"),
    (["dead", "show"], "Missing argument 'ID'"),
    (["dead", "show", "12"], "'12' is not a valid UUID"),
    (["dead", "requeue"], "give IDs or filters, or --all"),
    (["dead", "purge", "--yes"], "give IDs or filters, or --all"),
]


@pytest.mark.parametrize(("args", "message"), USAGE_ERRORS, ids=joined)
def test_a_usage_error_says_what_is_wrong(cli: Cli, args: list[str], message: str) -> None:
    result = cli(*args)
    assert (result.code, result.out) == (2, "")
    assert message in result.err


@pytest.mark.parametrize("name", ["ASYNC_TASK_OP_TIMEOUT", "ASYNC_TASK_DRIVER"])
def test_a_wrong_environment_is_a_failure(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "nosuch")
    result = cli("queues")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("Error: ")
    assert "'nosuch'" in result.err


FAILURES = [
    (["queues", "--sqlite-path", "missing/tasks.db"], "missing, does not exist"),
    (["queues", "--sqlite-path", "."], "is a directory"),
    (["queues", "--sqlite-path", "junk.db"], "junk.db is not a sound SQLite database"),
    (["migrate", "--sqlite-path", "junk.db"], "junk.db is not a sound SQLite database"),
    (["migrate", "--sql", "--driver", "memory"], "driver 'memory' has no schema"),
    (["queues", "--app", "nosuch"], "there is no module 'nosuch'"),
    (["queues", "--app", "nosuch.py"], "there is no file nosuch.py"),
]


@pytest.mark.parametrize(("args", "message"), FAILURES, ids=joined)
def test_a_failure_is_one_line(cli: Cli, tmp_path: Path, args: list[str], message: str) -> None:
    (tmp_path / "junk.db").write_text("junk" * 1000)
    result = cli(*args)
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("Error: ")
    assert message in result.err
    assert result.err.count("\n") == 1


def test_a_reader_that_goes_away_is_no_error(shell: Shell) -> None:
    process = shell.start("-m", "async_task", "worker", "--help")
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(timeout=60)
    assert err == ""


def test_a_worker_without_a_usable_store_fails(shell: Shell) -> None:
    shell.write("junk.db", "junk" * 1000)
    result = shell.run("worker", "--driver", "sqlite", "--sqlite-path", "junk.db")
    assert (result.code, result.out) == (1, "")
    assert "Error: " in result.err
    assert "is not a sound SQLite database" in result.err
    assert "Traceback" not in result.err


def test_a_module_that_is_no_text_fails(shell: Shell) -> None:
    (shell.folder / "main.py").write_bytes(b"name = '\xff'\n")
    result = shell.run("queues", "--app", "main")
    assert result.code == 1
    assert "cannot import main (--app):" in result.err
    assert "SyntaxError" in result.err
    assert "Traceback" not in result.err
