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
    shown = " ".join(cli("queues", "--help").out.split())
    for row in setting_rows().values():
        assert f"{row.flag} " in shown
        assert f"[env: {row.env[0]}" in shown or row.env[0].startswith("ASYNC_TASK_SQLITE_V")


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
