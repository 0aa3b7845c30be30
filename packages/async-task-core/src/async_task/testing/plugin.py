"""pytest plug-in of async-task, loaded by every pytest run: it imports nothing until needed."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _pytest.terminal import TerminalReporter

    from async_task.testing.fake import FakeQueue

MARKERS = (
    "async_task_conformance: a test of the driver conformance suite",
    "async_task_requires: what a driver must declare for the test to apply",
    "async_task_lacks: what a driver must not declare for the test to apply",
)
PROPERTY = "async_task_conformance"
"""Name under which a test's report carries `driver: capabilities`, also from a remote worker."""

OUTCOMES = {
    "passed": "passed",
    "failed": "failed",
    "error": "failed",
    "xpassed": "failed",
    "xfailed": "deviating",
    "skipped": "skipped",
}
"""pytest's category -> word of the summary."""

pytest.register_assert_rewrite(
    "async_task.testing.aspects", "async_task.testing.machine", "async_task.testing.rig"
)


@pytest.fixture
def fake_queue() -> Iterator[FakeQueue]:
    """Record what is dispatched during the test; see `async_task.testing.fake`."""
    from async_task.testing.fake import FakeQueue

    with FakeQueue() as queue:
        yield queue


@pytest.fixture
def inline_queue() -> Iterator[FakeQueue]:
    """Run what is dispatched before its dispatch returns; see `async_task.testing.fake`."""
    from async_task.testing.fake import FakeQueue

    with FakeQueue(inline=True) as queue:
        yield queue


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the conformance suite."""
    group = parser.getgroup("async-task", "async-task driver conformance")
    group.addoption(
        "--async-task-url",
        metavar="URL",
        help="driver to check with `--pyargs async_task.testing.run`, for example redis://...",
    )
    group.addoption(
        "--async-task-examples",
        metavar="N",
        type=int,
        help="random histories to compare with the model; without it a few fixed ones",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers."""
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Select the tests of the conformance suite by what each driver declares."""
    chosen = [item for item in items if item.get_closest_marker("async_task_conformance")]
    if not chosen:
        return
    from async_task.testing.conformance import choose

    for item in chosen:
        choose(config, item)


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """End the report with one line of counts and one of capabilities per driver."""
    counts: dict[str, Counter[str]] = {}
    for category, word in OUTCOMES.items():
        for report in terminalreporter.stats.get(category, ()):
            for name, driver in getattr(report, "user_properties", ()):  # none on collection
                if name == PROPERTY:
                    counts.setdefault(driver, Counter())[word] += 1
    if counts:
        terminalreporter.section("driver conformance")
    for driver, counter in sorted(counts.items()):
        name, capabilities = driver.split(": ", 1)
        line = ", ".join(f"{number} {word}" for word, number in sorted(counter.items()))
        terminalreporter.write_line(f"{name}: {line}")
        terminalreporter.write_line(f"    {capabilities or 'declares nothing'}")
