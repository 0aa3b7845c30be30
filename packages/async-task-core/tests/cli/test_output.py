"""What tables and JSON make of values."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from async_task.cli.output import print_json, print_table, printable, span


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (None, None),
        (0, "0.0s"),
        (1_234, "1.2s"),
        (59_999, "59s"),
        (61_000, "1m 1s"),
        (3_600_000, "1h 0m"),
        (90_000_000, "1d 1h"),
    ],
)
def test_durations(milliseconds: int | None, text: str | None) -> None:
    assert span(milliseconds) == text


def test_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["name", "n"], [("a", None), ("long\nname", 12)])
    assert capsys.readouterr().out == "NAME        N\na           -\nlong\\nname  12\n"


def test_what_could_steer_a_terminal_is_escaped() -> None:
    assert printable("\x1b[2J é\ud800\t") == r"\x1b[2J é\ud800\t"


class Unprintable:
    def __repr__(self) -> str:
        raise ValueError("no")


def test_json_of_anything(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"n": float("nan"), 1: (Decimal("1.5"), b"\xff", "\ud800"), "u": Unprintable()})
    document = json.loads(capsys.readouterr().out)
    assert document.pop("u").startswith("<")
    assert document == {"n": "nan", "1": ["Decimal('1.5')", "b'\\xff'", "\ud800"]}
