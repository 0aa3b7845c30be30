"""Noticing that source files changed, for `--reload`."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def source_watch(folder: Path) -> Callable[[], bool]:
    """Return what says whether a Python file below `folder` changed since it was last asked.

    Hidden folders and virtual environments are not looked into.
    """

    def stamps() -> dict[str, int]:
        found: dict[str, int] = {}
        for root, folders, files in os.walk(folder):
            folders[:] = [f for f in folders if not f.startswith(".") and f != "__pycache__"]
            if "pyvenv.cfg" in files:
                folders.clear()
                continue
            for name in files:
                if name.endswith(".py"):
                    with contextlib.suppress(OSError):
                        path = os.path.join(root, name)
                        found[path] = os.stat(path).st_mtime_ns
        return found

    before = stamps()

    def changed() -> bool:
        nonlocal before
        now = stamps()
        differs, before = now != before, now
        return differs

    return changed
