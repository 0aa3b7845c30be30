"""A folder with an application in it, and the command line run there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from async_task import config
from async_task.cli.main import commands
from click.testing import CliRunner


@dataclass(frozen=True)
class Result:
    """How a run of the program ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """All of standard output, as one document."""
        return json.loads(self.out)


class Shell:
    """Real processes in one folder, without settings from outside it, warnings as errors."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started: list[subprocess.Popen[str]] = []

    def end(self) -> None:
        """Kill what a failed test left running."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
                process.communicate()

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def start(self, *command: str, **env: str) -> subprocess.Popen[str]:
        """Start `python COMMAND`."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("ASYNC_TASK_")}
        process = subprocess.Popen(
            [sys.executable, "-X", "dev", "-W", "error", *command],
            cwd=self.folder,
            env=kept | env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def python(self, *command: str, **env: str) -> Result:
        """Run `python COMMAND` to its end."""
        with self.start(*command, **env) as process:
            out, err = process.communicate(timeout=60)
        lines = err.splitlines(keepends=True)
        # asyncio's debug mode tells what took 0.1 s, which on a busy host may be anything.
        return Result(
            process.returncode, out, "".join(x for x in lines if not x.startswith("Executing <"))
        )

    def run(self, *args: str, **env: str) -> Result:
        """Run `python -m async_task ARGS` to its end."""
        return self.python("-m", "async_task", *args, **env)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path)
    yield shell
    shell.end()


Cli = Callable[..., Result]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs `async-task ARGS` inside this process, in an empty folder: for what imports no app."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in os.environ:
        if name.startswith("ASYNC_TASK_"):
            monkeypatch.delenv(name)

    def run(*args: str, text: str | None = None) -> Result:
        monkeypatch.setattr(config, "_global", None)  # as in a new process
        result = CliRunner().invoke(commands, args, input=text, catch_exceptions=False)
        return Result(result.exit_code, result.stdout, result.stderr)

    return run


QUICK_START = """
import asyncio
from async_task.config import set_global_config
from async_task.core.task import task

set_global_config(driver="sqlite")

@task
async def send_email(to: str, subject: str, body: str):
    print(f"Sending email to {to}: {subject}")
    await asyncio.sleep(0.01)
    return f"Email sent to {to}"

async def main():
    for i in range(10):
        task_id = await send_email.dispatch(
            to=f"user{i}@example.com", subject=f"Welcome {i}!", body="..."
        )
        print(f"Task dispatched: {task_id}")

if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.fixture
def quick_start() -> str:
    return QUICK_START
