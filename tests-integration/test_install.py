"""What people get who install from wheels."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import pytest
from workspace import MEMBERS, META, PLUGINS, Distribution, run, uv


def contents(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def wheel_of(distribution: Distribution, built: Path) -> Path:
    (wheel,) = built.glob(f"{distribution.name.replace('-', '_')}-{distribution.version}-*.whl")
    return wheel


@pytest.mark.parametrize("member", MEMBERS, ids=str)
def test_a_wheel_holds_its_whole_package_and_nothing_else(
    member: Distribution, built: Path
) -> None:
    package = member.package
    source = {
        str(path.relative_to(package.parent))
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    shipped = contents(wheel_of(member, built))
    assert {name for name in shipped if ".dist-info/" not in name} == source
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in shipped)


def test_the_meta_distribution_is_metadata_only(built: Path) -> None:
    assert all(".dist-info/" in name for name in contents(wheel_of(META, built)))


def test_the_meta_sdist_leaves_the_monorepo_out(built: Path) -> None:
    with tarfile.open(built / f"async_task-{META.version}.tar.gz") as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    chosen = {"README.md", "LICENSE"}
    assert names - chosen == {"PKG-INFO", "pyproject.toml", "hatch.toml", ".gitignore"}


def test_everything_is_installed_from_the_wheels(installed: Path) -> None:
    frozen = uv("pip", "freeze", "--python", installed).splitlines()
    ours = {line.split(" @ ")[0]: line for line in frozen if line.startswith("async-task")}
    assert ours.keys() == {distribution.name for distribution in [META, *MEMBERS]}
    assert all("file://" in line for line in ours.values()), ours


def test_the_installed_packages_import(installed: Path, tmp_path: Path) -> None:
    for member in MEMBERS:
        run(installed, "-W", "error", "-c", f"import {member.package.name}", cwd=tmp_path)


def test_the_installed_plugins_are_found(installed: Path, tmp_path: Path) -> None:
    code = "from importlib.metadata import entry_points as e; print(*e(group='async_task').names)"
    found = run(installed, "-c", code, cwd=tmp_path).split()
    assert set(found) >= {name for plugin in PLUGINS for name in plugin.plugins}


def test_the_installed_command_lists_them(installed: Path, tmp_path: Path) -> None:
    listed = run(installed.with_name("async-task"), "plugins", cwd=tmp_path)
    assert all(name in listed for plugin in PLUGINS for name in plugin.plugins)
