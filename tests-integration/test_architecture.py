"""The rules of the code that no other tool can say: sizes, weights, plug-ins."""

from __future__ import annotations

import json
import pkgutil
import re
import sys
from importlib.metadata import entry_points

import pytest
from async_task.spi.plugin import SPI_VERSION, DriverInfo
from async_task.spi.settings import DriverSettings
from workspace import MEMBERS, PLUGINS, ROOT, Distribution, run, tracked

PLUGIN_IDS = [str(plugin) for plugin in PLUGINS]


def modules_after(code: str) -> set[str]:
    """Run `code` in a fresh interpreter; return the modules that it brought in."""
    program = (
        "import json, sys; before = set(sys.modules)\n"
        f"{code}\n"
        "print(); print(json.dumps([*(sys.modules.keys() - before)]))"
    )
    return set(json.loads(run(sys.executable, "-c", program).splitlines()[-1]))


def third_party(modules: set[str]) -> set[str]:
    """Top-level packages among `modules` that are not the standard library's."""
    return {name.partition(".")[0] for name in modules} - sys.stdlib_module_names


def test_no_source_file_is_past_400_lines() -> None:
    lines = {path: path.read_text().count("\n") for path in tracked("packages/*/src/*.py")}
    assert not {str(path.relative_to(ROOT)): n for path, n in lines.items() if n > 400}


def test_importing_the_package_brings_no_third_party_code() -> None:
    modules = modules_after("import async_task")
    assert third_party(modules) == {"async_task"}
    assert "asyncio" not in modules


def test_help_imports_no_client_library_and_no_asyncio() -> None:
    modules = modules_after(
        "from async_task.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as exit: assert not exit.code"
    )
    plugins = {plugin.package.name for plugin in PLUGINS}
    assert third_party(modules) <= {"async_task", "click", "pluggy", *plugins}
    assert "asyncio" not in modules


@pytest.mark.parametrize("plugin", PLUGINS, ids=PLUGIN_IDS)
def test_a_plugin_declares_itself_without_its_client(plugin: Distribution) -> None:
    name = plugin.package.name
    light = [file for file in ("plugin", "settings") if (plugin.package / f"{file}.py").exists()]
    modules = modules_after(f"import {', '.join([name, *(f'{name}.{file}' for file in light)])}")
    assert third_party(modules) <= {"async_task", "pluggy", name}
    core = {module for module in modules if module.startswith("async_task.")}
    assert not {
        module for module in core if not re.match(r"async_task\.(errors|spi)(\.|$)", module)
    }


@pytest.mark.parametrize("plugin", PLUGINS, ids=PLUGIN_IDS)
def test_what_a_plugin_declares_resolves(plugin: Distribution) -> None:
    installed = {entry.name: entry for entry in entry_points(group="async_task")}
    for name in plugin.plugins:
        module = installed[name].load()
        drivers: list[DriverInfo] = getattr(module, "async_task_drivers", list)()
        for driver in drivers:
            assert driver.name == name
            assert driver.spi_version == SPI_VERSION
            assert driver.schemes
            assert callable(pkgutil.resolve_name(driver.factory))
            assert issubclass(pkgutil.resolve_name(driver.settings), DriverSettings)


@pytest.mark.parametrize("member", MEMBERS, ids=str)
def test_every_package_is_typed(member: Distribution) -> None:
    assert (member.package / "py.typed").read_text() == ""
