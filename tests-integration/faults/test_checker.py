"""The checker finds what is wrong: one history that is right, and one corruption at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from faults.checker import Checker
from faults.history import Event, History, Kind

if TYPE_CHECKING:
    from pathlib import Path

SECOND = 1_000_000_000


def event(kind: Kind, at_s: float, pid: int = 0, task: str = "-", **more: int) -> Event:
    return Event(kind, int(at_s * SECOND), pid, task, **more)


def run(
    task: str,
    pid: int,
    since: float,
    until: float,
    end: Kind = Kind.DONE,
    deliveries: int = 1,
    attempt: int = 0,
) -> list[Event]:
    counts = {"deliveries": deliveries, "attempt": attempt}
    return [event(Kind.START, since, pid, task, **counts), event(end, until, pid, task, **counts)]


# Worker 1 is killed at 10 s under "orphan", worker 2 frozen from 20 to 30 s under "frozen", the
# store is down from 40 to 50 s under "cut", worker 3 is told to stop at 60 s under "released",
# worker 4 did not run from 70 to 74 s under "stalled", and the store handed out "doubled" twice.
TASKS = "plain failing orphan unsettled frozen cut released stalled doubled dead"
RIGHT = [
    *(event(Kind.ACCEPTED, 1, task=task, value=SECOND) for task in TASKS.split()),
    event(Kind.ACCEPTED, 1, task="delayed", value=5 * SECOND),
    *run("plain", 1, 2, 3),
    *run("delayed", 1, 5, 6),
    *run("failing", 1, 2, 3, Kind.FAILED),
    *run("failing", 2, 4, 5, deliveries=2, attempt=1),
    event(Kind.START, 9, 1, "orphan", deliveries=1),
    *run("unsettled", 1, 8, 9.9),
    event(Kind.KILLED, 10, 1),
    *run("orphan", 2, 13, 14, deliveries=2),
    *run("unsettled", 2, 13, 14, deliveries=2),
    *run("frozen", 2, 19, 31, Kind.CANCELLED),
    event(Kind.STOPPED, 20, 2),
    *run("frozen", 3, 24, 25, deliveries=2),
    event(Kind.CONTINUED, 30, 2),
    *run("cut", 3, 39, 43, Kind.CANCELLED),
    event(Kind.DOWN, 40),
    event(Kind.UP, 50),
    *run("cut", 3, 51, 52, deliveries=2),
    *run("released", 3, 59, 61, Kind.CANCELLED),
    event(Kind.TERMINATED, 60, 3),
    *run("released", 4, 62, 63, deliveries=2),
    *run("stalled", 4, 69, 75),
    *run("stalled", 2, 73, 76, deliveries=2),
    event(Kind.STALLED, 74, 4, value=4 * SECOND),
    *run("doubled", 1, 2, 4),
    event(Kind.DOUBLED, 3, task="doubled"),
    *run("doubled", 2, 3.5, 5),
    *run("dead", 2, 2, 3, Kind.FAILED),
]


@dataclass(frozen=True)
class Corruption:
    """What is taken out of the history, by kind, task and delivery, and what is put in."""

    story: str
    violation: str
    out: tuple[tuple[Kind, str, int], ...] = ()
    into: tuple[Event, ...] = ()

    def __str__(self) -> str:
        return self.story

    def __call__(self, events: list[Event]) -> list[Event]:
        kept = [e for e in events if (e.kind, e.task_id, e.deliveries) not in self.out]
        assert len(kept) == len(events) - len(self.out)
        return [*kept, *self.into]


PLAIN, ORPHAN = (
    ((Kind.START, "plain", 1), (Kind.DONE, "plain", 1)),
    (
        (Kind.START, "orphan", 2),
        (Kind.DONE, "orphan", 2),
    ),
)
KILLED = (Kind.KILLED, "-", 0)

CORRUPTIONS = [
    Corruption("a task never ran", "lost", PLAIN),
    Corruption("a task never ended", "lost", PLAIN[1:]),
    Corruption("a task ran that nobody sent", "stranger", ((Kind.ACCEPTED, "plain", 0),)),
    Corruption(
        "a done task ran again", "unattributed", into=(*run("plain", 2, 8, 9, deliveries=2),)
    ),
    Corruption(
        "a settled task ran again after a kill",
        "unattributed",
        into=(*run("plain", 2, 13, 14, deliveries=2),),
    ),
    Corruption("nobody was killed", "unattributed", (KILLED,)),
    Corruption("somebody else was killed", "unattributed", (KILLED,), (event(Kind.KILLED, 10, 9),)),
    Corruption(
        "nobody was frozen", "unattributed", ((Kind.STOPPED, "-", 0), (Kind.CONTINUED, "-", 0))
    ),
    Corruption("the store was up", "unattributed", ((Kind.DOWN, "-", 0), (Kind.UP, "-", 0))),
    Corruption("nobody was told to stop", "unattributed", ((Kind.TERMINATED, "-", 0),)),
    Corruption(
        "a finished task ran again after a stop",
        "unattributed",
        ((Kind.CANCELLED, "released", 1),),
        (event(Kind.DONE, 61, 3, "released", deliveries=1),),
    ),
    Corruption(
        "a task ran twice at once", "overlap", into=(*run("plain", 2, 2.5, 4, deliveries=2),)
    ),
    Corruption("the machine was not busy", "overlap", ((Kind.STALLED, "-", 0),)),
    Corruption("the store doubled nothing", "unattributed", ((Kind.DOUBLED, "doubled", 0),)),
    Corruption(
        "a task that was doubled once ran three times",
        "unattributed",
        into=(*run("doubled", 2, 6, 7, deliveries=2),),
    ),
    Corruption(
        "a delayed task came early",
        "early",
        ((Kind.START, "delayed", 1),),
        (event(Kind.START, 4, 1, "delayed", deliveries=1),),
    ),
    Corruption(
        "a crash was charged",
        "charged",
        ORPHAN,
        (*run("orphan", 2, 13, 14, deliveries=2, attempt=1),),
    ),
    Corruption("a delivery was not counted", "uncounted", ORPHAN, (*run("orphan", 2, 13, 14),)),
    Corruption("recovery was slow", "late", ORPHAN, (*run("orphan", 2, 16, 17, deliveries=2),)),
    Corruption(
        "a done task died", "done and dead", into=(event(Kind.DONE, 4, 2, "dead", deliveries=1),)
    ),
]


def names(events: list[Event], *, dead: tuple[str, ...] = ("dead",), left: int = 0) -> set[str]:
    checker = Checker(events, lease_s=3, dead=dead, left=left, recover_s=5)
    return {violation.name for violation in checker.violations()}


def test_a_history_that_is_right_passes() -> None:
    assert names(RIGHT) == set()


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=str)
def test_a_corruption_is_found_by_name(corruption: Corruption) -> None:
    assert corruption.violation in names(corruption(RIGHT))


TWINS = [
    event(Kind.ACCEPTED, 1, task="twins", value=SECOND),
    *run("twins", 8, 2, 3, Kind.FAILED),
    event(Kind.KILLED, 4, 7),  # having set out to put it off
    *run("twins", 8, 5, 7, deliveries=3, attempt=1),
    *run("twins", 9, 6, 8, deliveries=2, attempt=1),
]


@pytest.mark.parametrize(
    ("copies", "events", "found"),
    [
        (True, TWINS, set[str]()),
        (False, TWINS, {"uncounted", "unattributed", "overlap"}),
        (True, [e for e in TWINS if e.kind is not Kind.KILLED], {"uncounted", "unattributed"}),
        (True, [*TWINS, *run("twins", 8, 9, 10, deliveries=4)], {"unattributed"}),
    ],
    ids=["a kill may leave two copies", "where there are copies", "with a kill", "but one"],
)
def test_twins(copies: bool, events: list[Event], found: set[str]) -> None:
    checker = Checker(events, lease_s=3, copies=copies)
    assert {violation.name for violation in checker.violations()} >= found
    assert bool(checker.violations()) is bool(found)


def test_totals_have_to_add_up() -> None:
    assert names(RIGHT, dead=()) == {"lost"}
    assert names(RIGHT, dead=(), left=1) == set()
    assert names(RIGHT, left=1) == {"conservation"}
    assert names(RIGHT, dead=("dead", "other")) == {"stranger"}


def test_a_history_reads_as_it_was_written(tmp_path: Path) -> None:
    writer, reader = History(tmp_path / "h"), History(tmp_path / "h")
    writer.append(*RIGHT[:7])
    assert reader.events() == RIGHT[:7]
    writer.append(*RIGHT[7:])
    assert reader.events() == RIGHT
    assert reader.count(Kind.DONE, {"plain", "frozen", "dead"}) == 2
    writer.close()
    reader.close()
