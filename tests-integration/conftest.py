"""The workspace as users get it: wheels, and an environment that holds nothing but them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from async_task.testing.servers.base import LocalServer, shared
from workspace import MEMBERS, META, uv


@pytest.fixture(scope="session")
def url_of() -> Iterator[Callable[[type[LocalServer]], str]]:
    """Return a function that says where a server of some kind is, started on first use."""
    with ExitStack() as stack:

        @functools.cache
        def url_of(kind: type[LocalServer]) -> str:
            return stack.enter_context(shared(kind))

        yield url_of


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the sdist of every distribution, and the wheel built from that sdist."""
    folder = tmp_path_factory.mktemp("dist")
    for distribution in [META, *MEMBERS]:
        uv("build", "--out-dir", folder, distribution.folder)
    return folder


@pytest.fixture(scope="session")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with `async-task[all]`, from the wheels; its clients come from the index."""
    environment = tmp_path_factory.mktemp("installed")
    wheels = {wheel.name.split("-")[0].replace("_", "-"): wheel for wheel in built.glob("*.whl")}
    ours = environment / "constraints.txt"
    ours.write_text("".join(f"{name} @ {wheel.as_uri()}\n" for name, wheel in wheels.items()))
    python = environment / "venv" / "bin" / "python"
    uv("venv", python.parents[1])
    uv("pip", "install", "--python", python, "--constraint", ours, "async-task[all]")
    return python
