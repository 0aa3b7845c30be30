"""The command line: `python -m benchmarks short|full|check|plot`."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from benchmarks import check, page, plot, report, scenarios
from benchmarks.contenders import SHORT, contenders
from benchmarks.runner import Plan, run

ROUNDS: Final = {"drain": 3, "waiting": 2, "idle": 2, "delayed": 1}
"""What everybody is measured by, and how often in a full run: most often what counts most."""
OURS: Final = ("processes", "backlog", "crowd", "produce")


def measure(*, full: bool) -> None:
    """Run a comparison and print its tables; write them where asked to."""
    known = contenders()
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks {'full' if full else 'short'}")
    parser.add_argument(
        "--only", nargs="*", metavar="WORD", help="contenders whose name has one of the words"
    )
    parser.add_argument("--scenarios", nargs="*", choices=scenarios.SCENARIOS)
    parser.add_argument("--rounds", type=int, help="how often, of every scenario")
    parser.add_argument("--backlog", type=int, nargs="*", help="tasks behind those measured")
    parser.add_argument("--json", type=Path, help="also write every figure to this file")
    parser.add_argument("--page", type=Path, help="put the tables into this page")
    parser.add_argument(
        "--smoke", action="store_true", help="a few tasks, and ours in this environment"
    )
    options = parser.parse_args(sys.argv[2:])
    chosen = [known[name] for name in (known if full or options.only else SHORT)]
    if options.only:
        chosen = [c for c in chosen if any(word in c.name for word in options.only)]
    size = scenarios.FULL if full else scenarios.SHORT
    if options.smoke:
        size = scenarios.SMOKE
        chosen = [replace(c, requires=()) if c.ours else c for c in chosen]
    if options.backlog:
        size = replace(size, backlog=options.backlog)
    asked = options.scenarios or [*ROUNDS, *(OURS if full else ())]
    document = run(
        Plan(
            contenders=chosen,
            rounds={
                name: options.rounds or (rounds if full else 1)
                for name, rounds in ROUNDS.items()
                if name in asked
            },
            ours=[name for name in OURS if name in asked],
            size=size,
        )
    )
    print(report.tables(document))
    if options.json is not None:
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    if options.page is not None:
        page.write_into(options.page, document)
    _complain(document)


def _complain(document: dict[str, Any]) -> None:
    for name in document["missing"]:
        print(f"not measured, its store is not installed: {name}", file=sys.stderr)
    for failure in document["failures"]:
        print(f"failed: {failure}", file=sys.stderr)
    if document["failures"]:
        sys.exit(1)


def main() -> None:
    """Do what the first argument says."""
    what = sys.argv[1] if len(sys.argv) > 1 else "short"
    match what:
        case "short" | "full":
            measure(full=what == "full")
        case "check":
            check.main(sys.argv[2:])
        case "plot":
            plot.main(sys.argv[2:])
        case _:
            sys.exit(f"{what}? One of short, full, check, plot.")


if __name__ == "__main__":
    main()
