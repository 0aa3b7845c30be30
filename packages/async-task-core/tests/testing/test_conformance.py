"""What an author of a driver meets when something is wrong with the test class itself."""

from __future__ import annotations

import subprocess
import sys

import pytest
from async_task.testing.conformance import DriverConformance
from async_task.testing.harness import missing_server
from async_task.testing.selection import requires

pytest_plugins = ["pytester"]

SUITE = """
import pytest
from async_task.drivers.plugin import CAPABILITIES
from async_task.testing.conformance import DriverConformance
from async_task.testing.memory import MemoryHarness

class TestMine(DriverConformance):
    {body}

    @pytest.fixture
    def harness(self):
        return MemoryHarness()
"""


def run(pytester: pytest.Pytester, body: str, *arguments: str) -> pytest.RunResult:
    pytester.makepyfile(SUITE.format(body=body))
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", "-W", "error", *arguments)


def test_replacing_a_rule_fails_by_name() -> None:
    with pytest.raises(TypeError, match=r"TestMine replaces test_a_ping_succeeds.*`deviations`"):
        type("TestMine", (DriverConformance,), {"test_a_ping_succeeds": lambda self: None})


def test_leaving_out_a_rule_fails_by_name() -> None:
    with pytest.raises(TypeError, match="replaces test_a_ping_succeeds"):
        type("TestMine", (DriverConformance,), {"test_a_ping_succeeds": None})


def test_a_deviation_from_no_rule_fails_by_name() -> None:
    with pytest.raises(TypeError, match="names test_of_mine: there is no such test"):
        type("TestMine", (DriverConformance,), {"deviations": {"test_of_mine": "why"}})


def test_a_requirement_names_a_capability() -> None:
    with pytest.raises(ValueError, match="no field colour"):
        requires("colour")


def test_a_class_without_capabilities_is_told(pytester: pytest.Pytester) -> None:
    result = run(pytester, "pass")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*TestMine must set `capabilities`*"])


def test_what_is_not_declared_is_skipped_and_says_so(pytester: pytest.Pytester) -> None:
    result = run(
        pytester, "capabilities = CAPABILITIES", "-k", "schema or ping or undeclared", "-rs"
    )
    result.assert_outcomes(passed=1, skipped=3, deselected=None)
    result.stdout.fnmatch_lines(["*TestMine declares no migrations*"])
    result.stdout.fnmatch_lines(["*TestMine declares recoverable_lease*"])


def test_a_deviation_is_expected_to_fail_and_counted(pytester: pytest.Pytester) -> None:
    body = """capabilities = CAPABILITIES
    deviations = {"test_facets_are_there_exactly_if_declared": "a fancy"}"""
    result = run(pytester, body, "-k", "ping or facets")
    result.assert_outcomes(passed=1, failed=1, deselected=None)
    result.stdout.fnmatch_lines(["*XPASS(strict)*a fancy*"])
    result.stdout.fnmatch_lines(["TestMine: 1 failed, 1 passed", "    control dead_letters *"])


def test_a_harness_must_be_given(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
from async_task.spi.capabilities import Capabilities
from async_task.testing.conformance import DriverConformance
class TestMine(DriverConformance):
    capabilities = Capabilities()
""")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-k", "ping")
    result.stdout.fnmatch_lines(["*TestMine must override the fixture `harness`.*"])


def test_the_plugin_imports_nothing_of_ours_until_needed() -> None:
    """It is loaded by every pytest run of every user."""
    code = (
        "import sys, pytest; before = set(sys.modules); import async_task.testing.plugin;"
        "print(*sorted(set(sys.modules) - before))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["async_task", "async_task.testing", "async_task.testing.plugin"]


@pytest.mark.parametrize(
    ("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)]
)
def test_a_missing_server_fails_where_nobody_looks(
    monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="start a server"):
        missing_server("start a server")
