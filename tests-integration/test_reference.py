"""The pages name everything there is to use, as it is now, and lead where they say."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import fields
from functools import cache
from pathlib import Path

import async_task
import pytest
from async_task.config import setting_rows
from async_task.core.definition import TaskOptions
from async_task.core.outcome import TaskStatus
from async_task.core.pending import Fluent
from async_task.core.reasons import DeadReason
from async_task.plugins.manager import plugins
from workspace import ROOT, run, tracked

PAGES = tracked("*.md")
CODE = re.compile(r"^[ >]*```.*?```$|`[^`\n]+`", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]*))?\)")


@cache
def text(page: str) -> str:
    return (ROOT / page).read_text()


def missing(names: Iterable[str], *pages: str) -> list[str]:
    """Return those that occur on none of the pages as code, or as part of some."""
    code = "".join(CODE.findall("".join(map(text, pages))))
    return [name for name in names if not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", code)]


def test_generated_parts_are_as_the_code_is() -> None:
    run(sys.executable, ROOT / "docs/generate.py", "--check")


def test_every_public_name_is_documented() -> None:
    pages = [str(page.relative_to(ROOT)) for page in tracked("docs/*.md")]
    names = set(async_task.__all__) - {"__version__"}
    assert not missing(sorted(names), *pages)


def test_every_setting_is_documented() -> None:
    rows = setting_rows().values()
    names = [name for row in rows for name in (row.keyword, *row.env)]
    assert not missing(names, "docs/configuration.md")


def test_every_command_is_documented() -> None:
    commands = [f"async-task {name}" for name in plugins().commands]
    headings = re.findall(r"^### (.+)$", text("docs/cli-reference.md"), re.MULTILINE)
    assert set(headings) >= set(commands)


def test_every_option_of_a_task_and_of_a_call_is_documented() -> None:
    methods = [f".{name}" for name in vars(Fluent) if not name.startswith("_")]
    chained = [name for name in methods if not name.startswith(".dispatch")]
    names = [field.name for field in fields(TaskOptions)]
    assert not missing([*names, *chained], "docs/task-definitions.md")


def test_every_reason_and_status_is_documented() -> None:
    assert not missing([reason.value for reason in DeadReason], "docs/dead-letters.md")
    assert not missing([status.value for status in TaskStatus], "docs/results-and-control.md")


def test_every_driver_is_documented() -> None:
    assert not missing(plugins().drivers, "docs/queue-drivers.md")
    assert not missing(plugins().drivers, "README.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    broken: list[str] = []
    for link in LINK.finditer(CODE.sub("", page.read_text())):
        target = (page.parent / link[1]).resolve() if link[1] else page
        if not target.exists() or (link[2] and link[2] not in anchors(target)):
            broken.append(link[0])
    assert not broken


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
