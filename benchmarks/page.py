"""What was measured, who took part and where, between the marks of docs/benchmarks.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from benchmarks.report import table, tables

if TYPE_CHECKING:
    from pathlib import Path

BEGIN: Final = "<!-- figures -->"
END: Final = "<!-- end -->"


def write_into(page: Path, document: dict[str, Any]) -> None:
    """Replace what is between the marks of a page."""
    before, _, rest = page.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n\n{_figures(document)}\n{END}{after}")


def _figures(document: dict[str, Any]) -> str:
    about = document["machine"]
    where = f"{about['cpu']}, {about['memory']}, {about['system']}, Python {about['python']}"
    when = f"revision {about['revision']}, {document['began']}, {document['took_s'] // 60} minutes"
    peers = [
        [
            name,
            contender["delivery"],
            ", ".join(word for word in contender["requires"] if "==" in word),
            contender["settings"],
        ]
        for name, contender in document["contenders"].items()
        if not contender["ours"]
    ]
    parts = (
        f"{where}; {when}.\n",
        tables(document),
        "### The peers\n",
        table(["", "a task whose worker dies runs", "versions", "settings"], peers),
        "### The servers\n",
        table(["", "settings"], document["stores"].items()),
    )
    return "\n".join(parts)
