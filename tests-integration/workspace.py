"""The distributions of this repository, read from their own files."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Distribution:
    """One distribution of the workspace, by its folder."""

    folder: Path

    def __str__(self) -> str:
        return self.name

    @property
    def metadata(self) -> dict[str, Any]:
        """Its `pyproject.toml`."""
        return tomllib.loads((self.folder / "pyproject.toml").read_text())

    @property
    def project(self) -> dict[str, Any]:
        """The table `[project]` of it."""
        return dict(self.metadata["project"])

    @property
    def name(self) -> str:
        return str(self.project["name"])

    @property
    def package(self) -> Path:
        """Folder of its import package."""
        (package,) = (path for path in (self.folder / "src").iterdir() if path.is_dir())
        return package

    @property
    def version(self) -> str:
        """The version, from the metadata where it is static, else from `__about__.py`."""
        if "version" in self.project:
            return str(self.project["version"])
        about = (self.package / "__about__.py").read_text()
        found = re.fullmatch(r'__version__ = "(.+)"\n', about)
        assert found, f"{self}: __about__.py holds more or less than one version"
        return found[1]

    @property
    def plugins(self) -> dict[str, str]:
        """Its entry points of the group `async_task`: name -> module."""
        return dict(self.project.get("entry-points", {}).get("async_task", {}))


META = Distribution(ROOT)
MEMBERS = [Distribution(file.parent) for file in sorted(ROOT.glob("packages/*/pyproject.toml"))]
PLUGINS = [member for member in MEMBERS if member.plugins]


def tracked(*patterns: str) -> list[Path]:
    """Files of the repository that git tracks or would add; those just deleted are left out."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [path for name in listed.stdout.splitlines() if (path := ROOT / name).is_file()]


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Run a command and return its standard output; a failure shows everything it printed."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def uv(*arguments: str | Path) -> str:
    """Run the uv of this environment."""
    return run(sys.executable, "-m", "uv", "--quiet", *arguments)
