"""Plug-ins to be found: distributions with entry points, made in a folder of the search path."""

from __future__ import annotations

import os
import textwrap
import uuid
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import TypeAlias

import pytest
from async_task.config import setting_rows
from async_task.plugins.manager import plugins

Install: TypeAlias = Callable[..., None]

DRIVER = """
    from async_task.spi.capabilities import Capabilities
    from async_task.spi.plugin import DriverInfo, hookimpl

    @hookimpl
    def async_task_drivers():
        return [
            DriverInfo(
                name="{name}",
                schemes=("{name}",),
                factory="{settings}:Driver",
                settings="{settings}:Settings",
                capabilities=Capabilities(),
                summary="",
                spi_version={spi_version},
            )
        ]
"""

SETTINGS = """
    from dataclasses import dataclass
    from async_task.spi.settings import DriverSettings, setting

    @dataclass(frozen=True, kw_only=True)
    class Settings(DriverSettings):
        url: str = setting("{name}://localhost", "Where it is.", secret=True)
        password: str | None = setting(None, "Its password.", secret=True)
        durable: bool = setting(True, "Whether to keep things.")
        key: str | None = setting(
            None, "A key whose name others use.", env=("{upper}_KEY",), keyword="cloud_{name}_key"
        )
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Return a function that installs a plug-in, a driver unless `source` says otherwise.

    Only what it installs, and what is built in, is there while the test runs.
    """
    monkeypatch.syspath_prepend(tmp_path)

    def installed(*, group: str) -> list[metadata.EntryPoint]:
        found = metadata.distributions(path=[str(tmp_path)])
        return [entry for dist in found for entry in dist.entry_points if entry.group == group]

    monkeypatch.setattr("async_task.plugins.manager.entry_points", installed)
    for name in [name for name in os.environ if name.startswith("ASYNC_TASK_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ASYNC_TASK_PLUGINS", "")
    made: list[str] = []

    def forget() -> None:
        plugins.cache_clear()
        setting_rows.cache_clear()

    def install(
        name: str,
        source: str = DRIVER,
        *,
        settings: str = SETTINGS,
        spi_version: int = 1,
        distribution: str | None = None,
    ) -> None:
        distribution = distribution or f"dist-{name}"
        module = f"plugin_{uuid.uuid4().hex}"  # a name is imported once only
        fields = {"name": name, "upper": name.upper(), "spi_version": spi_version}
        source = source.replace("{settings}", f"{module}_settings")
        settings = settings.replace("{upper}", name.upper())
        for key, value in fields.items():
            source = source.replace(f"{{{key}}}", str(value))
            settings = settings.replace(f"{{{key}}}", str(value))
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(source))
        (tmp_path / f"{module}_settings.py").write_text(textwrap.dedent(settings))
        info = tmp_path / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Name: {distribution}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[async_task]\n{name} = {module}\n")
        made.append(name)
        monkeypatch.setenv("ASYNC_TASK_PLUGINS", ",".join(made))
        forget()

    forget()
    yield install
    forget()
