"""The runner of benchmarks/, with ours on SQLite and few tasks: what it counts is right."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from workspace import ROOT, run

if sys.platform != "linux":
    pytest.skip("the runner reads /proc", allow_module_level=True)
sys.path.append(str(ROOT))

from benchmarks.contenders import SHORT, contenders
from benchmarks.ledger import Ledger
from benchmarks.plot import drawn
from benchmarks.report import summary, tables
from benchmarks.scenarios import SCENARIOS
from benchmarks.stores import STORES

NAME = "async-task sqlite"


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Every scenario that takes no two seconds, once."""
    path = tmp_path_factory.mktemp("benchmarks") / "figures.json"
    scenarios = [name for name in SCENARIOS if name != "delayed"]
    arguments = ["full", "--smoke", "--rounds", "1", "--only", NAME, "--json", str(path)]
    run(sys.executable, "-m", "benchmarks", *arguments, "--scenarios", *scenarios, cwd=ROOT)
    read: dict[str, Any] = json.loads(path.read_text())
    return read


def test_every_scenario_measures_something_and_loses_nothing(document: dict[str, Any]) -> None:
    assert not document["failures"]
    figures = summary(document)
    assert figures.keys() >= {
        "dispatch, one", "dispatch, together", "dispatch, bulk", "drain", "10 ms tasks",
        "latency, half load", "latency, idle", "idle", "drain, processes: 2", "backlog 100",
    }  # fmt: skip
    for what, by_name in figures.items():
        measured = by_name[NAME]
        assert not measured.get("lost"), what
        assert not measured.get("repeated"), what
        assert all(measured[key] > 0 for key in ("rate", "cpu_us", "p50_ms") if key in measured)
    assert figures["drain"][NAME]["server_us"] == 0
    assert figures["50 in flight"][NAME]["running"] == 50


def test_figures_become_tables_and_a_plot(document: dict[str, Any]) -> None:
    assert f"| {NAME} |" in tables(document)
    assert NAME in drawn(document)


def test_what_was_lost_and_what_ran_twice_is_counted(tmp_path: Path) -> None:
    ledger = Ledger.create(tmp_path / "ledger", 5)
    for number in (0, 1, 1, 1, 3):
        Ledger(tmp_path / "ledger").mark(number)  # as another process does
    assert (ledger.done(0, 5), ledger.repeated(0, 5)) == (3, 2)
    assert (ledger.done(1, 2), ledger.repeated(2, 3)) == (1, 0)
    first, *_, last = ledger.started_ns
    assert (first > 0, last) == (True, 0)


def test_everybody_in_the_table_can_take_part() -> None:
    known = contenders()
    assert set(SHORT) <= known.keys()
    for contender in known.values():
        assert contender.store in STORES
        assert (ROOT / f"benchmarks/adapters/{contender.module}.py").exists()
