from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from async_task.testing.harness import missing_server

CORE = Path(__file__).parents[2]
TOY = Path(__file__).parent / "toy"


def call(*command: str | Path, cwd: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    run = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, f"{command} failed:\n{run.stdout[-10_000:]}{run.stderr[-10_000:]}"
    return run.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with wheels of core and of the toy driver, and nothing else of ours."""
    uv = shutil.which("uv")
    if uv is None:
        missing_server("uv is needed to install the wheels: pip install uv")
    place = tmp_path_factory.mktemp("third_party")
    shutil.copytree(TOY, place / "toy")  # building must not leave anything in the checkout
    for source in (CORE, place / "toy"):
        call(uv, "build", "--wheel", "--out-dir", place / "wheels", source, cwd=place)
    call(uv, "venv", "--python", sys.executable, place / "venv", cwd=place)
    scripts = place / "venv" / ("Scripts" if os.name == "nt" else "bin")
    wheels = sorted((place / "wheels").glob("*.whl"))
    to_python = ("--python", scripts / "python")
    call(uv, "pip", "install", *to_python, *wheels, "pytest", "anyio", cwd=place)
    return scripts / "python"


def test_a_driver_of_somebody_else_is_checked_without_code(python: Path, tmp_path: Path) -> None:
    """Installing it is all it takes: entry point, URL, report; Hypothesis is not needed."""
    report = call(
        *(python, "-m", "pytest", "--pyargs", "async_task.testing.run"),
        *("--async-task-url", "toy://x", "-W", "error", "-rs"),
        cwd=tmp_path,
    )
    assert "TestDriver declares no results" in report
    assert 'needs pip install "async-task-core[testing]"' in report
    assert "    delay=milliseconds fence atomic_settle\n" in report


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        ([], "say which driver: --async-task-url"),
        (["--async-task-url", "redis://x"], 'pip install "async-task[redis]"'),
        (["--async-task-url", "memory://x?y=z"], "write memory:// or memory://name"),
    ],
)
def test_a_wrong_url_says_what_to_do(
    python: Path, tmp_path: Path, arguments: list[str], remedy: str
) -> None:
    command = [str(python), "-m", "pytest", "--pyargs", "async_task.testing.run", *arguments]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert remedy in run.stderr
