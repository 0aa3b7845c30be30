"""What users type is checked as they expect, by both mypy and basedpyright.

Each file of `samples/` holds `assert_type` calls, which must hold, and lines marked `# error`,
which must be refused; nothing else may be. The checkers live in the environment `types`; where they
are not installed the tests are skipped.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import async_task
import pytest

SAMPLES = sorted((Path(__file__).parent / "samples").glob("*.py"))
ROOT = Path(__file__).parents[4]
SCRIPTS = Path(sysconfig.get_path("scripts"))

Found = dict[Path, set[int]]


def run(tool: str, *arguments: str | Path) -> str:
    if not (SCRIPTS / tool).exists():
        pytest.skip(f"{tool} is not installed here; use `hatch run types:pytest {__file__}`")
    command = [SCRIPTS / tool, *arguments]
    # An editable installation is a line of `sys.path` to Python, and nothing to `--verifytypes`.
    environment = os.environ | {"PYTHONPATH": str(Path(async_task.__file__).parents[1])}
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    return run.stdout


def marked(sample: Path) -> set[int]:
    lines = sample.read_text().splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith("# error")}


@pytest.fixture(scope="module")
def mypy() -> Found:
    found: Found = {sample: set() for sample in SAMPLES}
    for line in run("mypy", "--strict", "--show-absolute-path", *SAMPLES).splitlines():
        if match := re.match(r"(.+?):(\d+): error:", line):
            found[Path(match[1])].add(int(match[2]))
    return found


@pytest.fixture(scope="module")
def basedpyright() -> Found:
    found: Found = {sample: set() for sample in SAMPLES}
    output = run("basedpyright", "--pythonpath", sys.executable, "--outputjson", *SAMPLES)
    for diagnostic in json.loads(output)["generalDiagnostics"]:
        if diagnostic["severity"] == "error":
            line = diagnostic["range"]["start"]["line"] + 1
            found[Path(diagnostic["file"])].add(line)
    return found


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.stem)
@pytest.mark.parametrize("checker", ["mypy", "basedpyright"])
def test_exactly_the_marked_lines_are_refused(
    request: pytest.FixtureRequest, checker: str, sample: Path
) -> None:
    found: Found = request.getfixturevalue(checker)
    assert found[sample] == marked(sample)


def test_the_public_interface_is_completely_typed() -> None:
    which = ("--verifytypes", "async_task", "--ignoreexternal", "--outputjson")
    output = run("basedpyright", "--pythonpath", sys.executable, *which)
    report = json.loads(output)["typeCompleteness"]
    exported = {f"async_task.{name}" for name in async_task.__all__}
    known = {symbol["name"] for symbol in report["symbols"] if symbol["isTypeKnown"]}
    assert exported - known == {"async_task.__version__"}  # a str, if without an annotation
