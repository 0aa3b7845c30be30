"""Which modules are found, and which of them are not to be imported."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from async_task.cli.discovery import App, discover
from async_task.cli.source_scan import scan
from async_task.errors import ConfigurationError

TASKS = "from async_task import task\n@task\nasync def f(): ...\n"
Files = Callable[..., Path]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    """Makes files with tasks in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ASYNC_TASK_APP", raising=False)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def make(*names: str, text: str = TASKS) -> Path:
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return make


def test_what_a_scan_looks_at(files: Files) -> None:
    files("main.py", "other.py", "send-mail.py", "tasks/mail.py", "tasks/deep/bulk.py")
    files("shop/__init__.py", "shop/orders/__init__.py", text="")
    files("shop/tasks.py", "shop/orders/tasks.py", "shop/orders/tasks/late.py")
    assert discover() == App(
        "found in the working directory",
        (
            "main",
            "other",
            "send-mail",
            "shop.orders.tasks.late",
            "shop.orders.tasks",
            "shop.tasks",
            "tasks.deep.bulk",
            "tasks.mail",
        ),
    )


def test_what_a_scan_passes_over(files: Files) -> None:
    files("test_main.py", "main_test.py", "conftest.py", "setup.py", "tests.py", "main.v2.py")
    files("tests/tasks.py", "tests/__init__.py", ".hidden/tasks.py", ".hidden/__init__.py")
    files("here/tasks.py", "here/__init__.py", "here/pyvenv.cfg", "tasks/test_mail.py")
    files("venv/tasks.py", "venv/__init__.py", "no_package/tasks.py", "shop/views.py")
    files("shop/__init__.py", "data.txt", text="")
    assert discover().modules == ()


def test_the_package_of_tasks_is_one_module(files: Files) -> None:
    files("tasks/__init__.py")
    assert discover().modules == ("tasks",)


def test_a_module_whose_package_starts_to_work_is_not_imported(files: Files) -> None:
    files("shop/tasks.py")
    files("shop/__init__.py", text="import asyncio, async_task\nasyncio.run(x())\n")
    app = discover()
    assert app.modules == ()
    assert "shop/__init__.py, line 2 starts to work" in app.skipped["shop/tasks.py"]


DEFINING = [
    TASKS,
    "from async_task.core.task import task as job\n@job(queue='x')\ndef f(): ...\n",
    "import async_task\n@async_task.task\ndef f(): ...\n",
    "import async_task as at\n@at.task(name='x')\ndef f(): ...\n",
    "import async_task.core.task\n@async_task.core.task.task\ndef f(): ...\n",
    "from async_task.core import task\n@task.task\ndef f(): ...\n",
    "from async_task import Task\nclass T(Task[int]): ...\n",
    "from async_task.core.task import SyncTask\nclass T(SyncTask): ...\n",
    "from async_task import task\nsend = task(len)\n",
    "try:\n    from async_task import task\nexcept ImportError:\n    raise\n@task\ndef f(): ...\n",
    TASKS + "if __name__ == '__main__':\n    import asyncio\n    asyncio.run(f.dispatch())\n",
    TASKS + "async def main():\n    await f.dispatch()\n",
    TASKS + "class A:\n    def b(self):\n        f.dispatch_sync()\n",
    TASKS + "later = lambda: f.dispatch_sync()\n",
    TASKS + "import threading\nthreading.Thread(target=print).start()\n",
]


@pytest.mark.parametrize("source", DEFINING)
def test_source_that_defines_tasks(tmp_path: Path, source: str) -> None:
    path = tmp_path / "m.py"
    path.write_text(source)
    found = scan(path)
    assert (found.tasks, found.obstacle) == (True, None)


NOT_DEFINING = [
    "",
    "from invoke import task\n@task\ndef f(): ...  # not async_task\n",
    "from async_task import Config\nConfig()\n",
    "from .async_task import task\n@task\ndef f(): ...\n",
    "def make():\n    from async_task import task\n    @task\n    def f(): ...\n",
    "from celery import Task\nimport async_task\nclass T(Task): ...\n",
]


@pytest.mark.parametrize("source", NOT_DEFINING)
def test_source_that_does_not(tmp_path: Path, source: str) -> None:
    path = tmp_path / "m.py"
    path.write_text(source)
    assert not scan(path).tasks


OBSTACLES = [
    ("f.dispatch_sync()\n", "line 4 dispatches (f.dispatch_sync)"),
    ("x = [f(1).delay(3).dispatch()]\n", "line 4 dispatches (f.delay.dispatch)"),
    ("import asyncio\nasyncio.run(f())\n", "line 5 starts to work (asyncio.run)"),
    ("from asyncio import run as go\ngo(f())\n", "line 5 starts to work (asyncio.run)"),
    ("import uvicorn as u\nu.run('app')\n", "line 5 starts to work (uvicorn.run)"),
    ("loop.run_until_complete(f())\n", "line 4 starts to work (loop.run_until_complete)"),
    ("worker.start()\n", "line 4 starts to work (worker.start)"),
    ("if True:\n    f.dispatch()\n", "line 5 dispatches (f.dispatch)"),
    ("class A:\n    x = f.dispatch()\n", "line 5 dispatches (f.dispatch)"),
    ("def g(x=f.dispatch()): ...\n", "line 4 dispatches (f.dispatch)"),
    (
        "import sys\ndef main():\n    g()\ndef g():\n    f.dispatch_sync()\nsys.exit(main())\n",
        "line 9 calls main(), whose line 6 calls g(), whose line 8 dispatches (f.dispatch_sync)",
    ),
    (
        "def main():\n    main()\nif __name__ == '__main__':\n    pass\nelse:\n    f.dispatch()\n",
        "line 9 dispatches (f.dispatch)",
    ),
    ("def f(:\n", "line 4 is no valid Python: invalid syntax"),
    ("\0", "it is no valid Python: source code string cannot contain null bytes"),
]


@pytest.mark.parametrize(("rest", "obstacle"), OBSTACLES)
def test_source_that_would_start_something(files: Files, rest: str, obstacle: str) -> None:
    files("app.py", text=TASKS + rest)
    assert discover() == App("found in the working directory", (), {"app.py": obstacle})


def test_names_come_from_the_flag_then_the_environment_then_the_project(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    files("main.py", "jobs/a.py")
    files("pyproject.toml", text='[tool.async-task]\napp = "shop.tasks"\n')
    assert discover() == App("pyproject.toml", ("shop.tasks",))
    files("pyproject.toml", text='[tool.async-task]\napp = ["shop.tasks", "jobs/a.py"]\n')
    assert discover() == App("pyproject.toml", ("shop.tasks", "jobs.a"))
    monkeypatch.setenv("ASYNC_TASK_APP", "one, ./jobs/a.py,jobs.a,")
    assert discover() == App("ASYNC_TASK_APP", ("one", "jobs.a"))
    assert discover(["main.py", "main"]) == App("--app", ("main",))
    assert sys.path[0] == str(Path.cwd())


def test_a_file_outside_is_imported_from_its_folder(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = files("elsewhere/outside.py", "here/x.py")
    monkeypatch.chdir(folder / "here")
    assert discover(["../elsewhere/outside.py"]).modules == ("outside",)
    assert sys.path[0] == str(folder / "elsewhere")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tool.async-task]\napp = 3\n", "must be the name of a module or a list of names"),
        ("[tool.async-task]\napp = [3]\n", "must be the name of a module or a list of names"),
        ("[tool\n", "cannot be read"),
    ],
)
def test_a_wrong_project_file(files: Files, text: str, message: str) -> None:
    files("pyproject.toml", text=text)
    with pytest.raises(ConfigurationError, match=message):
        discover()


def test_a_project_file_of_others_names_nothing(files: Files) -> None:
    files("pyproject.toml", text='[project]\nname = "x"\n')
    files("main.py")
    assert discover().modules == ("main",)
