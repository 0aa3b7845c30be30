"""No command and no error prints a password."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from async_task.cli.output import masked
from async_task.runtime.logs import JsonFormatter, TextFormatter

if TYPE_CHECKING:
    from cli.conftest import Cli, Shell

PASSWORD = "hunter2"
COMMANDS = [
    ["worker"],
    ["migrate"],
    ["queues"],
    ["dead", "list"],
    ["dead", "purge", "--all", "--yes"],
    ["doctor"],
    ["doctor", "--json"],
    ["plugins"],
]
URLS = [
    f"sqlite://user:{PASSWORD}@host/tasks.db",
    f"nosuch://user:{PASSWORD}@localhost",
    f"user:{PASSWORD}@localhost",
]


@pytest.mark.parametrize("url", URLS, ids=lambda url: url.partition(":")[0])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_of_a_url(cli: Cli, monkeypatch: pytest.MonkeyPatch, command: list[str], url: str) -> None:
    results = [cli(*command, "--url", url), cli(*command, url), cli(*command, f"--{url}")]
    monkeypatch.setenv("ASYNC_TASK_URL", url)
    results.append(cli(*command))
    for result in results:
        assert PASSWORD not in result.out + result.err


@pytest.mark.parametrize(
    "text",
    [
        f"cannot reach redis://:{PASSWORD}@host:6379/0",
        f"amqp://guest:{PASSWORD}@host/ refused",
        f"odd://user:{PASSWORD}@x@host",
        f"host=db password={PASSWORD} user=me",
        f"host=db password='{PASSWORD}' user=me",
        f"postgresql://host/db?user=me&password={PASSWORD}",
        f"aws_secret_access_key={PASSWORD}",
    ],
)
def test_of_a_log_line(text: str) -> None:
    record = logging.LogRecord("x", logging.INFO, __file__, 1, "it says: %s", (text,), None)
    for formatter in (TextFormatter(), JsonFormatter()):
        line = formatter.format(record)
        assert PASSWORD not in line
        assert "it says" in line
        assert "***" in line


@pytest.mark.parametrize(
    "text",
    ["http://host:8000/path", "mail to user@example.com: done", "redis://host:6379/0", "a: b @ c"],
)
def test_what_holds_no_password_stays(text: str) -> None:
    assert masked(text) == text


@pytest.mark.parametrize("scheme", ["redis", "postgresql"])
def test_of_a_server_that_is_not_there(shell: Shell, scheme: str) -> None:
    """Whether or not the driver is installed."""
    url = f"{scheme}://user:{PASSWORD}@127.0.0.1:1/0"
    for command in (["queues"], ["doctor"], ["doctor", "--json"]):
        result = shell.run(*command, ASYNC_TASK_URL=url)
        assert result.code == 1
        assert PASSWORD not in result.out + result.err
        assert "Traceback" not in result.err


LINES = [
    f'set_global_config(url="nosuch://user:{PASSWORD}@host"); get_dispatcher()',
    f'set_global_config(nosuch_password="{PASSWORD}")',
    f'set_global_config(driver="nosuch", url="nosuch://user:{PASSWORD}@host")',
]


@pytest.mark.parametrize("line", LINES)
def test_of_an_application(shell: Shell, line: str) -> None:
    shell.write("main.py", f"from async_task import set_global_config, get_dispatcher\n{line}\n")
    for command in (["worker", "--stop-when-empty"], ["doctor"], ["doctor", "--json"], ["queues"]):
        result = shell.run(*command, "--app", "main")
        assert result.code == 1
        assert PASSWORD not in result.out + result.err
