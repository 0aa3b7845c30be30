"""Every setting is a flag, and flags come first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_task.config import setting_rows

if TYPE_CHECKING:
    from cli.conftest import Cli, Result, Shell

APP = """
from async_task.config import set_global_config
set_global_config(driver="sqlite", sqlite_path="app.db", grace=3)
"""


def test_help_shows_every_setting(cli: Cli) -> None:
    shown = "".join(cli("queues", "--help").out.split())  # lines break also within names
    for row in setting_rows().values():
        assert row.flag + row.type_name.removesuffix(" or none").upper() in shown
        assert f"[env:{row.env[0]}" in shown


def sources(result: Result) -> dict[str, tuple[object, str]]:
    return {row["setting"]: (row["value"], row["from"]) for row in result.json["settings"]}


def test_flags_then_modules_then_environment(shell: Shell) -> None:
    shell.write("conf.py", APP)
    env = {"ASYNC_TASK_APP": "conf", "ASYNC_TASK_GRACE": "4", "ASYNC_TASK_OP_TIMEOUT": "7"}
    result = shell.run("doctor", "--json", "--sqlite-path", "flag.db", **env)
    found = sources(result)
    assert found["sqlite_path"] == ("flag.db", "--sqlite-path")
    assert found["grace"] == (3.0, "set_global_config")
    assert found["op_timeout"] == (7.0, "ASYNC_TASK_OP_TIMEOUT")
    assert found["max_body"] == (1048576, "default")
    assert (shell.folder / "flag.db").exists()
    assert not (shell.folder / "app.db").exists()


def test_a_url_as_a_flag_beats_the_driver_an_app_chose(shell: Shell) -> None:
    shell.write("conf.py", APP)
    result = shell.run("doctor", "--json", "--app", "conf", "--url", "memory://")
    assert [c["detail"] for c in result.json["checks"] if c["check"] == "schema"] == [
        "memory has none"
    ]


def test_what_a_url_says_is_told(shell: Shell) -> None:
    found = sources(shell.run("doctor", "--json", ASYNC_TASK_URL="sqlite:///from-url.db"))
    assert found["sqlite_path"] == ("from-url.db", "url")
    assert found["url"] == ("***", "ASYNC_TASK_URL")


CHAIN = """
import asyncio
from async_task import set_global_config, task

set_global_config(driver="sqlite", default_queue="app")

@task
async def first():
    await second.dispatch()

@task
async def second():
    print("second", flush=True)

if __name__ == "__main__":
    set_global_config(driver="sqlite", sqlite_path="flag.db", default_queue="flag")
    asyncio.run(first.dispatch())
"""


def test_flags_hold_for_what_tasks_dispatch(shell: Shell) -> None:
    shell.write("main.py", CHAIN)
    assert shell.python("main.py").code == 0
    flags = ("--sqlite-path", "flag.db", "--default-queue", "flag")
    worker = shell.run("worker", "--max-tasks", "2", *flags)
    assert (worker.code, worker.out) == (0, "second\n")
    assert not (shell.folder / "async-task.db").exists()
