from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

BUGS = Path(__file__).parent / "seeded"


def test_every_seeded_bug_is_caught_by_name() -> None:
    """Each class in `seeded/` is a driver with one bug, and names the tests that must catch it."""
    run = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-rfEX", "--tb=short"),
            *("-p", "seeding", "-p", "no:cacheprovider"),
            *("-c", os.devnull, "--rootdir", str(BUGS)),
            *("--import-mode=importlib", "-o", "python_files=*.py", "-W", "error", str(BUGS)),
        ],
        env=os.environ | {"PYTHONPATH": str(BUGS)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr
    assert "xfailed" in run.stdout
