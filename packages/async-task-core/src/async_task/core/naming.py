"""The names tasks and types travel under: `module:qualname`, the same in every process."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any


def module_name(module: str) -> str:
    """Return the name under which a worker imports `module`.

    That is itself, except in a script: there it is what `python -m` was given, or else the script's
    path relative to the working directory, dotted, since the worker finds and imports that file.
    """
    if module not in ("__main__", "__mp_main__"):  # the latter in children of multiprocessing
        return module
    main = sys.modules[module]
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name)
    file = getattr(main, "__file__", None)
    if file is None:  # an interactive session
        return module
    path = Path(file).resolve().with_suffix("")
    try:
        parts = path.relative_to(Path.cwd()).parts
    except ValueError:
        parts = (path.name,)
    return ".".join(parts)


def qualified_name(thing: Any) -> str:
    """Return `module:qualname` of a function or class."""
    return f"{module_name(thing.__module__)}:{thing.__qualname__}"
