"""An environment per set of requirements, made by uv in a folder that git ignores."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from benchmarks.contenders import Contender

ROOT: Final = Path(__file__).parents[1]
FOLDER: Final = ROOT / ".benchmarks"


def python(contender: Contender) -> str:
    """Return the interpreter of a contender, its environment made on first use.

    What is installed is compiled, as pip does it; uv would leave that to the first start.
    """
    if not contender.requires:
        return sys.executable
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    declared = (ROOT / word / "pyproject.toml" for word in contender.requires if "/" in word)
    wanted = "\n".join((version, *contender.requires, *(path.read_text() for path in declared)))
    digest = hashlib.sha256(wanted.encode()).hexdigest()[:8]
    folder = FOLDER / f"{contender.module}-{contender.store}-{digest}"
    interpreter = folder / "bin" / "python"
    complete = folder / "complete"
    if not complete.exists():
        shutil.rmtree(folder, ignore_errors=True)
        uv = [sys.executable, "-m", "uv"]
        _run(*uv, "venv", "--quiet", "--python", sys.executable, str(folder))
        install = ("pip", "install", "--quiet", "--compile-bytecode")
        _run(*uv, *install, "--python", str(interpreter), *contender.requires)
        complete.write_text(wanted)
    return str(interpreter)


def _run(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
