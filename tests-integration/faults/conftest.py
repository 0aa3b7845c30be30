"""Stages for the scenarios. `ASYNC_TASK_FAULTS=full` plays them at full length."""

from __future__ import annotations

import os
import random
import sys
from typing import TYPE_CHECKING

import pytest
from async_task.testing.selection import unmet

from faults.backends import BACKENDS, FULL, Backend
from faults.bench import Bench
from faults.scene import Scene

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

# The scenarios stop processes and read /proc; what they prove holds for every system.
collect_ignore_glob = [] if sys.platform == "linux" else ["test_*.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip scenarios on backends that do not declare what they are about; see `requires`."""
    for item in items:
        for backend in getattr(getattr(item, "callspec", None), "params", {}).values():
            if isinstance(backend, Backend) and (reason := unmet(item, backend.capabilities)):
                item.add_marker(pytest.mark.skip(reason=f"{backend} declares {reason}"))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def size() -> Callable[[int, int], int]:
    """Chooses the first number in a normal run, the second in a full one."""
    return lambda quick, full: full if FULL else quick


@pytest.fixture
def chance() -> random.Random:
    """The scenario's dice. Full runs throw new ones; `ASYNC_TASK_FAULTS_SEED` repeats a run."""
    seed = os.environ.get("ASYNC_TASK_FAULTS_SEED") or str(random.randrange(10**9) if FULL else 1)
    print(f"ASYNC_TASK_FAULTS_SEED={seed}")
    return random.Random(seed)


@pytest.fixture(params=[backend for backend in BACKENDS if backend.shared], ids=str)
def backend(request: pytest.FixtureRequest) -> Backend:
    """Every backend that several processes can share."""
    found: Backend = request.param
    return found


@pytest.fixture
async def scene(backend: Backend, tmp_path: Path) -> AsyncIterator[Scene]:
    """A fresh store and everything around it."""
    with backend.store(tmp_path) as store:
        async with Scene.on(store, tmp_path) as made:
            yield made


@pytest.fixture(params=BACKENDS, ids=str)
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    """A fresh store of every backend, to be used within this process."""
    with request.param.store(tmp_path) as store:
        async with Bench(store) as made:
            yield made
