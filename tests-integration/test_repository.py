"""The rules of the repository: versions, lists that must name every package, commands, leaks."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from workspace import MEMBERS, META, PLUGINS, ROOT, Distribution, tracked

DISTRIBUTIONS = [META, *MEMBERS]
CORE, *OTHERS = sorted(MEMBERS, key=lambda member: member.name != "async-task-core")
HATCH: dict[str, Any] = tomllib.loads((ROOT / "hatch.toml").read_text())["envs"]
TOOLS: dict[str, Any] = META.metadata["tool"]


def requirements(distribution: Distribution) -> list[str]:
    """Everything it may ever require, extras included."""
    extras: dict[str, list[str]] = distribution.project.get("optional-dependencies", {})
    return [*distribution.project["dependencies"], *(r for extra in extras.values() for r in extra)]


def test_all_distributions_carry_one_version() -> None:
    assert len({distribution.version for distribution in DISTRIBUTIONS}) == 1


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=str)
def test_distributions_require_one_another_in_lockstep(distribution: Distribution) -> None:
    major, minor, _ = map(int, distribution.version.split("."))
    span = f">={major}.{minor},<{major}.{minor + 1}"
    ours = [name for name in requirements(distribution) if name.startswith("async-task")]
    assert all(re.fullmatch(rf"async-task-[a-z]+{re.escape(span)}", name) for name in ours), ours


@pytest.mark.parametrize("distribution", [META, CORE], ids=str)
def test_every_package_is_an_extra(distribution: Distribution) -> None:
    extras: dict[str, list[str]] = dict(distribution.project["optional-dependencies"])
    everything = extras.pop("all")
    names = {member.name.removeprefix("async-task-") for member in OTHERS}
    assert extras.keys() >= names
    assert set(everything) == {r for name in names for r in extras[name]}


def test_every_package_is_named_where_lists_are_needed() -> None:
    packages = {member.package.name for member in MEMBERS}
    contracts = {contract["name"]: contract for contract in TOOLS["importlinter"]["contracts"]}
    drivers = {
        plugin.package.name
        for plugin in PLUGINS
        if "def async_task_drivers" in (plugin.package / "plugin.py").read_text()
    }
    assert set(TOOLS["importlinter"]["root_packages"]) == packages
    assert set(contracts["Core knows no driver"]["forbidden_modules"]) == packages - {"async_task"}
    on_spi = contracts["A driver stands on async_task.spi alone"]["source_modules"]
    assert drivers <= set(on_spi)
    assert set(TOOLS["coverage"]["run"]["source_pkgs"]) == packages
    (isolated,) = HATCH["isolated"]["matrix"]
    assert {f"async-task-{name}" for name in isolated["driver"]} == {str(m) for m in OTHERS}


def test_every_hatch_command_that_is_written_exists() -> None:
    missing: list[str] = []
    for path in tracked("justfile", "*.md", "*.yml", "*.yaml"):
        for command in re.finditer(r"hatch run (?:([\w-]+):)?([\w-]+)", path.read_text()):
            environment = HATCH[command[1] or "default"]
            scripts = {**environment.get("scripts", {})}
            if not environment.get("detached"):
                scripts |= HATCH["default"]["scripts"]
            if command[2] not in scripts:
                missing.append(f"{path.relative_to(ROOT)}: {command[0]}")
    assert not missing


def test_the_justfile_has_the_recipes_that_are_promised() -> None:
    recipe = re.compile(r"^([a-z-]+)(?: \*ARGS)?:", re.MULTILINE)
    recipes = set(recipe.findall((ROOT / "justfile").read_text()))
    assert recipes == {
        "default", "init", "services-up", "services-down", "test", "test-unit", "test-integration",
        "test-cov", "format", "lint", "typecheck", "ci", "setup-hooks",
    }  # fmt: skip


def test_no_lock_file_is_kept() -> None:
    assert not tracked("*.lock", "*pylock*.toml", "*package-lock.json")


def test_no_path_of_a_machine_is_written_anywhere() -> None:
    local = re.compile(r"(?<![\w.])/(?:work|farm|root|home|Users|tmp)/")

    def lines(path: Path) -> list[str]:
        try:
            return path.read_text().splitlines()
        except UnicodeDecodeError:
            return []

    leaks = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked()
        for number, line in enumerate(lines(path), 1)
        if local.search(line)
    ]
    assert not leaks
