"""No command and no error prints a password."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from async_task.cli.logs import JsonFormatter, TextFormatter
from async_task.cli.output import masked

if TYPE_CHECKING:
    from cli.conftest import Cli

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
    f"redis://:{PASSWORD}@localhost",
    f"postgresql://user:{PASSWORD}@localhost/db",
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
