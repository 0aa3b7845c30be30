"""The command line: `python -m benchmarks short|full|check|plot`."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from benchmarks import scenarios
from benchmarks.contenders import SHORT, contenders
from benchmarks.report import tables
from benchmarks.runner import Plan, run

ROUNDS: Final = ("drain", "waiting", "idle", "delayed")
ONCE: Final = ("two_processes", "backlog", "crowd", "produce")


def measure(full: bool) -> None:
    """Run a comparison, print its tables, and keep its figures where asked to."""
    known = contenders()
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks {'full' if full else 'short'}")
    parser.add_argument(
        "--only", nargs="*", metavar="WORD", help="contenders whose name has one of the words"
    )
    parser.add_argument("--scenarios", nargs="*", choices=scenarios.SCENARIOS)
    parser.add_argument("--rounds", type=int, default=3 if full else 1)
    parser.add_argument("--json", type=Path, help="also write every figure to this file")
    parser.add_argument(
        "--smoke", action="store_true", help="a few tasks, and ours in this environment"
    )
    options = parser.parse_args(sys.argv[2:])
    names = list(known) if full or options.only else list(SHORT)
    if options.only:
        names = [name for name in known if any(word in name for word in options.only)]
    size = scenarios.FULL if full else scenarios.SHORT
    chosen = [known[name] for name in names]
    if options.smoke:
        size = scenarios.SMOKE
        chosen = [replace(c, requires=()) if c.ours else c for c in chosen]
    document = run(
        Plan(
            contenders=chosen,
            scenarios=[s for s in options.scenarios or ROUNDS if s in ROUNDS or options.only],
            once=[s for s in options.scenarios or ONCE if s in ONCE and not options.only]
            if full
            else (),
            rounds=options.rounds,
            size=size,
        )
    )
    print(tables(document))
    if options.json is not None:
        options.json.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
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
        case _:
            sys.exit(f"{what}? One of short, full, check, plot.")


if __name__ == "__main__":
    main()
