"""Dispatch the quick start, work it off in another process, and check what happened.

Needs no server: the tasks wait in an SQLite file in a temporary folder. The exit code is 0 only if
every email was sent once and nothing is left.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

QUICKSTART = Path(__file__).parent / "quickstart" / "main.py"
EMAILS = 10


def run(folder: Path, *arguments: str) -> str:
    """Run Python with these arguments in the folder, as a user would; return what it printed."""
    print(f"\n$ python {shlex.join(arguments)}", flush=True)
    ours = {name: value for name, value in os.environ.items() if name[:11] != "ASYNC_TASK_"}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=ours,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    print(done.stdout, end="", flush=True)
    if done.returncode:
        sys.exit(f"\nThat failed, with exit code {done.returncode}.")
    return done.stdout


def check(what: str, found: object, expected: object) -> None:
    """Say that something is as it should be, or stop and say what is wrong."""
    if found != expected:
        sys.exit(f"\nWrong: {what}: {found!r} and not {expected!r}.")
    print(f"  {what}")


def main() -> None:
    """Run the demo."""
    print(f"The quick start, {QUICKSTART.relative_to(Path(__file__).parents[2])}:\n")
    print(QUICKSTART.read_text())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(QUICKSTART, folder)
        print("In an empty folder, first the program that dispatches, then a worker:")
        dispatched = run(folder, "main.py")
        worked = run(folder, "-m", "async_task", "worker", "--stop-when-empty")
        queues = run(folder, "-m", "async_task", "queues", "--json")
        dead = run(folder, "-m", "async_task", "dead", "list", "--json")

    ids = [line.split()[-1] for line in dispatched.splitlines() if "dispatched" in line]
    sent = sorted(line for line in worked.splitlines() if line.startswith("Sending email"))
    expected = [f"Sending email to user{i}@example.com: Welcome {i}!" for i in range(EMAILS)]
    left = [(q["queue"], q["ready"], q["delayed"], q["leased"]) for q in json.loads(queues)]

    print("\nWhat happened:")
    check(f"{EMAILS} tasks were dispatched, each with an id of its own", len(set(ids)), EMAILS)
    check(f"the worker sent {EMAILS} emails, each once", sent, expected)
    check("the queue is empty: nothing waits, nothing runs", left, [("default", 0, 0, 0)])
    check("there are no dead letters", json.loads(dead), [])
    print(
        "\nTo try it yourself:\n"
        "  hatch shell\n"
        "  cd docs/examples/quickstart\n"
        "  python main.py              dispatch\n"
        "  async-task queues           see them wait\n"
        "  async-task worker           work them off, until Ctrl-C\n"
        "  async-task doctor           where settings and tasks come from\n"
        "  async-task --help           everything else\n"
        "\nThe documentation begins at docs/index.md."
    )


if __name__ == "__main__":
    main()
