"""`migrate`, `queues`, `doctor` and `plugins`."""

from __future__ import annotations

import sqlite3
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from async_task.plugins.manager import Plugin, PluginManager, plugins

if TYPE_CHECKING:
    from cli.conftest import Cli, Shell


def test_migrating_is_idempotent(cli: Cli) -> None:
    check = cli("migrate", "--check", "--json", "--driver", "sqlite")
    pending = check.json["pending"]
    assert (check.code, bool(pending)) == (1, True)
    assert cli("migrate", "--check", "--driver", "sqlite").out == "".join(
        f"pending: {name}\n" for name in pending
    )
    assert cli("migrate", "--json", "--driver", "sqlite").json == {
        "driver": "sqlite",
        "schema": True,
        "pending": [],
        "applied": pending,
    }
    again = cli("migrate", "--driver", "sqlite")
    assert (again.code, again.out) == (0, "the schema is up to date\n")
    assert cli("migrate", "--check", "--driver", "sqlite").code == 0


def test_the_printed_schema_is_the_schema(cli: Cli) -> None:
    script = cli("migrate", "--sql", "--driver", "sqlite").out
    assert not Path("async-task.db").exists()
    with sqlite3.connect("async-task.db") as db:
        db.executescript(script)
    db.close()
    assert cli("migrate", "--check", "--driver", "sqlite").code == 0
    assert cli("migrate", "--sql", "--json", "--driver", "sqlite").json["sql"] == script


def test_a_driver_without_a_schema_has_nothing_to_migrate(cli: Cli) -> None:
    for args in (["migrate"], ["migrate", "--check"]):
        result = cli(*args, "--driver", "memory")
        assert (result.code, result.out) == (
            0,
            "driver 'memory' has no schema: nothing to migrate\n",
        )


def test_counting_queues(shell: Shell, quick_start: str) -> None:
    assert shell.run("queues", "--driver", "sqlite").out == "there are no queues yet\n"
    shell.write("main.py", quick_start)
    shell.python("main.py")
    head, row = shell.run("queues").out.splitlines()
    assert head.split() == ["QUEUE", "READY", "DELAYED", "LEASED", "DEAD", "OLDEST"]
    assert row.split()[:5] == ["default", "10", "0", "0", "0"]
    found = shell.run("queues", "low", "default", "--json").json
    assert [(q["queue"], q["ready"]) for q in found] == [("low", 0), ("default", 10)]
    counts = {"ready", "delayed", "leased", "dead"}
    assert set(found[0]) == {"queue", *counts, "oldest_ready_ms", "paused"}


def test_pausing_and_resuming_queues(shell: Shell, quick_start: str) -> None:
    shell.write("main.py", quick_start)
    shell.python("main.py")
    assert shell.run("pause", "default", "low").out == "paused: default, low\n"
    assert shell.run("queues").out.splitlines()[1].endswith("  paused")
    assert shell.run("worker", "--stop-when-empty").out == ""
    assert shell.run("resume", "default", "--json").json == {"resumed": ["default"]}
    states = {q["queue"]: q["paused"] for q in shell.run("queues", "--json").json}
    assert states == {"default": False, "low": True}
    assert len(shell.run("worker", "--stop-when-empty").out.splitlines()) == 10


def verdicts(document: dict[str, Any]) -> dict[str, str]:
    return {row["check"]: row["status"] for row in document["checks"]}


def test_a_healthy_setup(shell: Shell, quick_start: str) -> None:
    shell.write("main.py", quick_start)
    shell.python("main.py")
    result = shell.run("doctor", "--json")
    assert (result.code, result.json["ok"], result.err) == (0, True, "")
    assert set(verdicts(result.json).values()) == {"ok"}
    assert {"versions", "modules", "tasks", "driver", "schema", "backend"} <= set(
        verdicts(result.json)
    )
    text = shell.run("doctor").out
    assert "ok      tasks         main:send_email\n" in text
    assert text.endswith("\nall is well\n")


def test_what_is_wrong_is_named(shell: Shell) -> None:
    pending = shell.run("doctor", "--driver", "sqlite", "--sqlite-path", "new.db")
    assert pending.code == 0
    assert "note    schema" in pending.out
    assert "async-task migrate" in pending.out
    assert "note    tasks         none found" in pending.out
    shell.write("main.py", "from async_task import task\n@task\ndef f(): ...\n1 / 0\n")
    broken = shell.run("doctor", "--json")
    assert (broken.code, broken.json["ok"]) == (1, False)
    assert verdicts(broken.json)["configuration"] == "FAILED"


@pytest.fixture
def broken_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Plugin("acme", "async-task-acme", "1.0", "ImportError: no module named acme")
    found = [*plugins().plugins, broken]
    monkeypatch.setattr(PluginManager, "plugins", property(lambda _self: found))


def test_listing_plugins(cli: Cli) -> None:
    document = cli("plugins", "--json").json
    core, *others = document["plugins"]
    assert core["drivers"] == ["memory"]
    assert {
        "name": "sqlite",
        "distribution": "async-task-sqlite",
        "version": version("async-task-sqlite"),
        "drivers": ["sqlite"],
        "error": None,
    } in others
    assert {"memory", "sqlite"} <= {driver["name"] for driver in document["drivers"]}
    lines = cli("plugins").out.splitlines()
    assert ["sqlite", "async-task-sqlite", version("async-task-sqlite"), "sqlite"] in [
        line.split() for line in lines
    ]


@pytest.mark.usefixtures("broken_plugin")
def test_a_broken_plugin_is_named(cli: Cli) -> None:
    assert "acme cannot be imported: ImportError: no module named acme" in cli("plugins").out
    result = cli("doctor", "--driver", "memory")
    assert result.code == 1
    assert "acme of async-task-acme cannot be imported: ImportError" in result.out
