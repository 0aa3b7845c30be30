"""A task has one name, the same in the process that sends it and in the one that runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from async_task.core.task import Task, task

SCRIPT = """
from async_task.core.task import Task, task

@task
def f(): ...

class C(Task[None]):
    async def handle(self): ...

print(f.name, C._definition.name)
"""


def names(folder: Path, *command: str) -> list[str]:
    run = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, check=True, cwd=folder
    )
    return run.stdout.split()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "package" / "inner").mkdir(parents=True)
    for place in ("script", "package/script", "package/inner/script", "package/__main__"):
        (tmp_path / f"{place}.py").write_text(SCRIPT)
    return tmp_path


@pytest.mark.parametrize(
    ("command", "module"),
    [
        (("script.py",), "script"),
        (("./package/../script.py",), "script"),
        (("package/inner/script.py",), "package.inner.script"),
        (("-m", "script"), "script"),
        (("-m", "package.script"), "package.script"),
        (("-m", "package"), "package.__main__"),
        (("-c", "import package.script"), "package.script"),
        (("-c", SCRIPT), "__main__"),
    ],
)
def test_the_name_is_the_one_that_a_worker_imports(
    folder: Path, command: tuple[str, ...], module: str
) -> None:
    assert names(folder, *command) == [f"{module}:f", f"{module}:C"]


def test_a_script_outside_the_working_directory_has_its_own_name(folder: Path) -> None:
    assert names(folder / "package", str(folder / "script.py")) == ["script:f", "script:C"]


def test_children_of_multiprocessing_use_the_name_of_their_parent(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        f"{SCRIPT}\n"
        "import multiprocessing\n"
        "if __name__ == '__main__':\n"
        "    child = multiprocessing.get_context('spawn').Process(target=print, args=('.',))\n"
        "    child.start()\n"
        "    child.join()\n"
    )
    environment = os.environ | {"PYTHONWARNINGS": "ignore"}
    run = subprocess.run(
        [sys.executable, "script.py"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=environment,
    )
    assert run.stdout.split() == ["script:f", "script:C", "script:f", "script:C", "."]


def test_functions_and_classes_are_named_by_module_and_qualname() -> None:
    class Outer:
        @task
        def method() -> None: ...

        class Inner(Task[None]):
            async def handle(self) -> None: ...

    here = f"{__name__}:test_functions_and_classes_are_named_by_module_and_qualname.<locals>.Outer"
    assert Outer.method.name == f"{here}.method"
    assert Outer.Inner._definition is not None
    assert Outer.Inner._definition.name == f"{here}.Inner"
