"""Importing the package, and asking what is installed, load nothing heavy."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"asyncio", "msgpack", "click", "sqlite3", "pluggy", "pytest"}


def loaded_by(code: str) -> set[str]:
    program = f"{code}\nimport sys; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(run.stdout.split())


def test_importing_the_package_loads_next_to_nothing() -> None:
    loaded = loaded_by("import async_task")
    assert not loaded & HEAVY
    assert {name for name in loaded if name.startswith("async_task.")} == set()


def test_asking_for_drivers_loads_no_driver() -> None:
    loaded = loaded_by("from async_task.plugins.manager import plugins; plugins().drivers")
    assert not loaded & (HEAVY - {"asyncio", "pluggy"})
    assert "async_task.drivers.memory" not in loaded


def test_every_public_name_is_there_and_no_other() -> None:
    import async_task

    for name in async_task.__all__:
        assert getattr(async_task, name) is not None
    assert set(async_task.__all__) <= set(dir(async_task))
    with pytest.raises(AttributeError, match="'async_task' has no attribute 'nothing'"):
        _ = async_task.nothing
