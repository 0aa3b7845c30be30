"""Runs scenarios in rounds: everybody once, then everybody again, so that drift meets all alike."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.environments import ROOT, python
from benchmarks.scenarios import SCENARIOS, Setting, Size
from benchmarks.stores import STORES, Store, started

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.contenders import Contender
    from benchmarks.scenarios import Figures


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to run.

    Attributes:
        contenders: Who.
        rounds: What everybody is measured by, and how often.
        ours: What only ours are measured by, once, after that.
        size: How much.
    """

    contenders: Sequence[Contender]
    rounds: Mapping[str, int]
    ours: Sequence[str] = ()
    size: Size

    def steps(self, present: Sequence[Contender]) -> list[tuple[Contender, str]]:
        """Return what to do, in order: everybody once, then everybody again."""
        alternating = [
            (contender, scenario)
            for number in range(max(self.rounds.values(), default=0))
            for scenario, rounds in self.rounds.items()
            if number < rounds
            for contender in present
        ]
        return alternating + [(c, scenario) for scenario in self.ours for c in present if c.ours]


def run(plan: Plan) -> dict[str, Any]:
    """Run a plan and return a document of plain data: the machine, who took part, all figures.

    A contender that fails is reported and left out of that scenario; the others go on.
    """
    began = datetime.now(UTC)
    figures: dict[str, dict[str, list[Figures]]] = defaultdict(lambda: defaultdict(list))
    failures: list[str] = []
    present = [c for c in plan.contenders if STORES[c.store].installed()]
    for contender in present:
        python(contender)
    steps = plan.steps(present)
    with ExitStack() as stack:
        stores: dict[str, Store] = {}
        for name in dict.fromkeys(contender.store for contender in present):
            stores[name] = stack.enter_context(started(name))
        for number, (contender, scenario) in enumerate(steps, 1):
            print(f"[{number}/{len(steps)}] {contender.name}: {scenario}", file=sys.stderr)
            with tempfile.TemporaryDirectory(prefix="async-task-bench-") as folder:
                setting = Setting(contender, stores[contender.store], Path(folder), plan.size)
                try:
                    measured = SCENARIOS[scenario](setting)
                except (RuntimeError, OSError) as exc:
                    failures.append(f"{contender.name}, {scenario}: {exc}")
                    print(failures[-1], file=sys.stderr)
                    continue
            for what, read in measured.items():
                figures[what][contender.name].append(read)
    return {
        "machine": machine(),
        "began": began.isoformat(timespec="seconds"),
        "took_s": round((datetime.now(UTC) - began).total_seconds()),
        "rounds": dict(plan.rounds),
        "contenders": {c.name: asdict(c) | {"ours": c.ours} for c in present},
        "stores": {c.store: STORES[c.store].settings for c in present},
        "missing": [c.name for c in plan.contenders if c not in present],
        "failures": failures,
        "figures": figures,
    }


def machine() -> dict[str, str]:
    """Describe where this runs."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    revision = subprocess.run(
        ["git", "describe", "--always"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cpu": f"{os.cpu_count()} x {cpu}",
        "memory": f"{memory_gib:.0f} GiB",
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
        "revision": revision.stdout.strip(),
    }
