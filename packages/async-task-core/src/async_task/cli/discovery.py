"""Finding the modules of an application, and importing them, each under one name.

They are those named by `--app`, else by `ASYNC_TASK_APP`, else by `app` in `[tool.async-task]` of
`pyproject.toml`; only where none names any, those in the working directory that define tasks.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import sys
import tomllib
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from async_task.cli.source_scan import scan
from async_task.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

log = logging.getLogger("async_task.app")

_VARIABLE = "ASYNC_TASK_APP"
_PASSED_OVER = frozenset({"conftest", "setup", "tests", "test", "venv", "env", "node_modules"})


@dataclass(frozen=True, slots=True)
class App:
    """The modules of an application.

    Attributes:
        source: Who named them, for messages.
        modules: Their names, to be imported in this order.
        skipped: Files that define tasks and are not imported -> why.
    """

    source: str
    modules: tuple[str, ...]
    skipped: dict[str, str] = field(default_factory=dict)

    def load(self) -> None:
        """Import the modules. The working directory is importable, as with `python -m`.

        Raises:
            ConfigurationError: One is not there, or fails; ends with the module's own traceback.
        """
        for file, reason in self.skipped.items():
            log.warning("skipped %s: %s; name it with --app to import it anyway", file, reason)
        for module in self.modules:
            _load(module, self.source)


def discover(named: Sequence[str] = ()) -> App:
    """Find the application's modules; `named` are those of `--app`. Imports none.

    Raises:
        ConfigurationError: A file named is not there, or `pyproject.toml` cannot be read.
    """
    here = Path.cwd()
    _make_importable(here)
    if named:
        return App("--app", _modules(named))
    if listed := os.environ.get(_VARIABLE):
        return App(_VARIABLE, _modules(listed.split(",")))
    if configured := _from_pyproject(here / "pyproject.toml"):
        return App("pyproject.toml", _modules(configured))
    modules: list[str] = []
    skipped: dict[str, str] = {}
    for path in _candidates(here):
        found = scan(path)
        if not found.tasks:
            continue
        if obstacle := found.obstacle or _obstacle_above(path, here):
            skipped[str(path.relative_to(here))] = obstacle
        else:
            modules.append(_dotted(path, here))
    return App("found in the working directory", tuple(modules), skipped)


def _obstacle_above(path: Path, root: Path) -> str | None:
    """Say what importing the packages around a module would start."""
    for folder in path.relative_to(root).parents:
        package = root / folder / "__init__.py"
        if package != path and package.is_file() and (obstacle := scan(package).obstacle):
            return f"in {folder / '__init__.py'}, {obstacle}"
    return None


def _make_importable(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _modules(named: Sequence[str]) -> tuple[str, ...]:
    names = [name.strip() for name in named]
    return tuple(dict.fromkeys(_module(name) for name in names if name))


def _module(name: str) -> str:
    """Return the module that a dotted name or a path to a file names."""
    path = Path(name)
    if path.suffix != ".py" and len(path.parts) == 1:
        return name
    if not path.is_file():
        raise ConfigurationError(f"there is no file {name} to import (in {Path.cwd()})")
    path, here = path.resolve(), Path.cwd()
    if not path.is_relative_to(here):
        here = path.parent
        _make_importable(here)
    return _dotted(path, here)


def _dotted(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def _from_pyproject(path: Path) -> list[str]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as exc:
        raise ConfigurationError(f"{path} cannot be read: {exc}") from exc
    app: Any = document.get("tool", {}).get("async-task", {}).get("app", [])
    names = [app] if isinstance(app, str) else app
    if not isinstance(names, list) or not all(
        isinstance(name, str) for name in cast("list[object]", names)
    ):
        raise ConfigurationError(
            f"app in [tool.async-task] of {path} must be the name of a module or a list of names"
        )
    return cast("list[str]", names)


def _candidates(here: Path) -> Iterator[Path]:
    """Yield the files a scan looks at, in order of name."""
    for path in _listed(here):
        if path.is_file():
            yield from _source(path)
        elif path.name == "tasks":
            yield from _tree(path)
        elif (path / "__init__.py").is_file():
            yield from _tasks_of(path)


def _tasks_of(package: Path) -> Iterator[Path]:
    """Yield `tasks.py` and the files of `tasks/`, here and in the packages inside."""
    for path in _listed(package):
        if path.name == "tasks.py" and path.is_file():
            yield path
        elif path.name == "tasks" and path.is_dir():
            yield from _tree(path)
        elif (path / "__init__.py").is_file():
            yield from _tasks_of(path)


def _tree(folder: Path) -> Iterator[Path]:
    for path in _listed(folder):
        if path.is_dir():
            yield from _tree(path)
        else:
            yield from _source(path)


def _source(path: Path) -> Iterator[Path]:
    if path.suffix != ".py" or "." in path.stem:  # with a dot, it has no name to be imported by
        return
    is_test = path.stem.startswith("test_") or path.stem.endswith("_test")
    if not is_test:
        yield path


def _listed(folder: Path) -> Iterator[Path]:
    """Yield what is in a folder and may be part of an application."""
    try:
        paths = sorted(folder.iterdir())
    except OSError:
        return
    for path in paths:
        if path.name.startswith((".", "__pycache__")) or path.stem in _PASSED_OVER:
            continue
        if not (path / "pyvenv.cfg").exists():
            yield path


def _load(module: str, source: str) -> None:
    """Import a module, unless its file is a module already under another name."""
    try:
        known = _known_as(module)
        importlib.import_module(known or module)
    except (Exception, SystemExit) as exc:
        missing = exc.name if isinstance(exc, ModuleNotFoundError) else None
        if missing is not None and f"{module}.".startswith(f"{missing}."):
            reason = f"there is no module {missing!r}; the search starts in {Path.cwd()}"
            raise ConfigurationError(f"cannot import {module} ({source}): {reason}") from exc
        raise ConfigurationError(_failure(module, source, exc)) from exc
    alias = f", as {known}" if known else ""
    log.info("imported %s%s (%s)", module, alias, source)


def _known_as(module: str) -> str | None:
    spec = None if module in sys.modules else importlib.util.find_spec(module)
    if spec is None or not spec.has_location:
        return None
    for name, loaded in list(sys.modules.items()):
        origin = getattr(getattr(loaded, "__spec__", None), "origin", None)
        if name != "__main__" and origin == spec.origin:
            return name
    return None


def _failure(module: str, source: str, error: BaseException) -> str:
    """Describe a failed import, with the frames of the application's own files."""
    own = __file__, f"{Path(importlib.__file__).parent}{os.sep}", "<frozen importlib"
    frames = traceback.extract_tb(error.__traceback__)
    kept = [frame for frame in frames if not frame.filename.startswith(own)]
    lines = [
        f"cannot import {module} ({source}):",
        *"".join(traceback.format_list(kept[-3:])).rstrip().splitlines(),
        *"".join(traceback.format_exception_only(error)).rstrip().splitlines(),
    ]
    return "\n  ".join(lines)
