"""The demo shows the quick start, and the README has the same one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from docs_page import Page
from workspace import ROOT, run

DEMO = ROOT / "docs/examples/demo.py"
QUICKSTART = ROOT / "docs/examples/quickstart/main.py"


def test_the_demo_shows_what_happened(tmp_path: Path) -> None:
    shown = run(sys.executable, "-W", "error", DEMO, cwd=tmp_path)
    assert shown.count("Task dispatched: ") == 10 + 1  # and the source
    assert "there are no dead letters" in shown
    assert not list(tmp_path.iterdir()), "it leaves nothing behind"


def test_the_demo_fails_where_an_email_is_missing(tmp_path: Path) -> None:
    source = DEMO.read_text().replace("EMAILS = 10", "EMAILS = 11")
    (tmp_path / "quickstart").mkdir()
    (tmp_path / "quickstart" / "main.py").write_text(QUICKSTART.read_text())
    (tmp_path / "demo.py").write_text(source)
    with pytest.raises(AssertionError, match="Wrong: 11 tasks were dispatched"):
        run(sys.executable, tmp_path / "demo.py")


def test_the_readme_has_the_quick_start_of_the_demo() -> None:
    blocks = {block.title: block.source for block in Page(ROOT / "README.md").blocks}
    assert blocks["main.py"] == QUICKSTART.read_text()
