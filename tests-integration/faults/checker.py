"""Proves from a history that every task was done, once unless there was a reason, and not early."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from faults.history import Event, Kind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

EARLY_NS = 5_000_000
"""How much sooner a task may seem to start: the store's wall clock counts whole milliseconds, and
is slewed by up to 0.05 % against the boot-time clock of the history."""

_ENDS = {Kind.DONE, Kind.FAILED, Kind.RELEASED, Kind.CANCELLED, Kind.CRASHED}
_FOREVER = 1 << 62


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was not kept, to which task, and how."""

    name: str
    task_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Run:
    """One start of a task and its end, if the handler came to one."""

    start: Event
    end: Event | None


@dataclass(frozen=True, slots=True)
class Window:
    """While a process (0: all of them) could not be expected to keep its leases."""

    kind: Kind
    pid: int
    since_ns: int
    until_ns: int

    def covers(self, pid: int, since_ns: int, until_ns: int) -> bool:
        here = self.pid in (0, pid)
        return here and self.since_ns <= until_ns and since_ns <= self.until_ns


class Checker:
    """Reads one history.

    Args:
        events: All of it.
        lease_s: Length of a lease.
        dead: Ids of the dead letters at the end.
        left: How many tasks the store still holds at the end, dead letters aside.
        resent: Ids of tasks whose dispatch was repeated after an unknown outcome on a store that
            may have kept both copies.
        copies: Whether the store gives a task back as a copy, before the old one goes, so that who
            dies in between leaves two.
        recover_s: How long after a kill the tasks of the killed process must have been started
            again; None where the others had no free slot for them.
    """

    def __init__(
        self,
        events: Iterable[Event],
        *,
        lease_s: float,
        dead: Collection[str] = (),
        left: int = 0,
        resent: Collection[str] = (),
        copies: bool = False,
        recover_s: float | None = None,
    ) -> None:
        self._events = sorted(events, key=lambda event: event.at_ns)
        self._lease_ns = int(lease_s * 1e9)
        self._dead = set(dead)
        self._left = left
        self._resent = set(resent)
        self._recover_ns = None if recover_s is None else int(recover_s * 1e9)
        self._accepted = {e.task_id: e for e in self._events if e.kind is Kind.ACCEPTED}
        self._runs = _runs(self._events)
        self._windows = list(_windows(self._events))
        self._copies = copies
        self._doubles: dict[str, list[int]] = defaultdict(list)
        for event in self._events:
            if event.kind is Kind.DOUBLED:
                self._doubles[event.task_id].append(event.at_ns)

    def violations(self) -> list[Violation]:
        """Return everything that is wrong; empty when all promises were kept."""
        found = list(self._totals())
        for task_id, runs in self._runs.items():
            if task_id not in self._accepted:
                found.append(Violation("stranger", task_id, "started, but never accepted"))
                continue
            found += self._task(task_id, runs)
        return found

    def _totals(self) -> Iterator[Violation]:
        done = {e.task_id for e in self._events if e.kind is Kind.DONE}
        missing = self._accepted.keys() - done - self._dead
        if len(missing) < self._left:
            text = f"the store holds {self._left} tasks, of which {len(missing)} are not done"
            yield Violation("conservation", "-", text)
        for task_id in sorted(missing) if len(missing) > self._left else ():
            yield Violation("lost", task_id, "accepted, but neither done nor dead nor waiting")
        for task_id in sorted(done & self._dead):
            yield Violation("done and dead", task_id, "done, and a dead letter too")
        for task_id in sorted(self._dead - self._accepted.keys()):
            yield Violation("stranger", task_id, "a dead letter, but never accepted")

    def _task(self, task_id: str, runs: list[Run]) -> Iterator[Violation]:
        failures = 0
        due_ns = self._accepted[task_id].value
        for run in runs:
            early_ns = due_ns - run.start.at_ns
            if early_ns > EARLY_NS:
                text = f"started {early_ns / 1e6:.1f} ms before it was due"
                yield Violation("early", task_id, text)
            if run.start.attempt > failures:
                text = f"charged {run.start.attempt} failures after {failures}"
                yield Violation("charged", task_id, text)
            failures += run.end is not None and run.end.kind is Kind.FAILED
        if task_id not in self._resent:
            yield from self._chains(task_id, runs)

    def _chains(self, task_id: str, runs: list[Run]) -> Iterator[Violation]:
        """Check that each run follows from an earlier one, of the same copy of the task."""
        doubles = sorted([*self._doubles[task_id], *self._doubled_by_kills(task_id, runs)])
        latest = runs[:1]  # of each copy
        for run in runs[1:]:
            found = [list(self._pair(task_id, earlier, run)) for earlier in latest]
            fitting = [at for at, violations in enumerate(found) if not violations]
            if fitting:
                latest[max(fitting, key=lambda at: latest[at].start.deliveries)] = run
            elif doubles and doubles[0] <= run.start.at_ns:
                del doubles[0]
                latest.append(run)
            else:
                yield from found[-1]
                latest[-1] = run

    def _doubled_by_kills(self, task_id: str, runs: list[Run]) -> Iterator[int]:
        """Yield when a worker was killed that may just have been giving this task back.

        It was neither done then, nor running elsewhere.
        """
        for kill in self._events if self._copies else ():
            since_ns = kill.at_ns - kill.value
            if kill.kind is not Kind.KILLED or kill.at_ns < self._accepted[task_id].at_ns:
                continue
            before = [run for run in runs if run.start.at_ns < since_ns]
            if any(run.end is not None and run.end.kind is Kind.DONE for run in before):
                continue
            if not any(self._runs_at(run, kill) for run in before):
                yield since_ns

    def _runs_at(self, run: Run, kill: Event) -> bool:
        ended_ns = run.end.at_ns if run.end is not None else self._killed_ns(run.start)
        return run.start.pid != kill.pid and (ended_ns is None or ended_ns > kill.at_ns)

    def _pair(self, task_id: str, run: Run, following: Run) -> Iterator[Violation]:
        first, again_ns = run.start, following.start.at_ns
        where = f"delivery {first.deliveries} in {first.pid}, {following.start.deliveries} after it"
        if following.start.deliveries <= first.deliveries:
            yield Violation("uncounted", task_id, where)
        if not self._attributed(run, again_ns):
            yield Violation("unattributed", task_id, f"run again without a reason: {where}")
        killed_ns = self._killed_ns(first)
        ended_ns = run.end.at_ns if run.end is not None else killed_ns
        if ended_ns is not None and ended_ns > again_ns and not self._lease_lost(run, again_ns):
            yield Violation("overlap", task_id, f"ran twice at the same time: {where}")
        if self._recover_ns is not None and killed_ns is not None and run.end is None:
            late_ns = again_ns - killed_ns - self._recover_ns
            if late_ns > 0:
                text = f"started again {late_ns / 1e9:.2f} s later than promised: {where}"
                yield Violation("late", task_id, text)

    def _attributed(self, run: Run, again_ns: int) -> bool:
        end = run.end if run.end is not None and run.end.at_ns <= again_ns else None
        if end is not None and end.kind in (Kind.FAILED, Kind.RELEASED, Kind.CRASHED):
            return True
        if end is not None and end.kind is Kind.DONE:
            # Its settlement may have been lost with the process, but only while the lease held.
            return self._lease_lost(run, min(again_ns, end.at_ns + self._lease_ns))
        return self._lease_lost(run, again_ns) or self._fault(run, again_ns, {Kind.TERMINATED})

    def _lease_lost(self, run: Run, until_ns: int) -> bool:
        return self._fault(run, until_ns, {Kind.KILLED, Kind.STOPPED, Kind.STALLED, Kind.DOWN})

    def _fault(self, run: Run, until_ns: int, kinds: set[Kind]) -> bool:
        start = run.start
        return any(
            window.kind in kinds and window.covers(start.pid, start.at_ns, until_ns)
            for window in self._windows
        )

    def _killed_ns(self, start: Event) -> int | None:
        kills = (e for e in self._events if e.kind is Kind.KILLED and e.pid == start.pid)
        return next((e.at_ns for e in kills if e.at_ns >= start.at_ns), None)


def _runs(events: Iterable[Event]) -> dict[str, list[Run]]:
    """Return the runs of each task, in the order of their starts."""
    runs: dict[str, list[Run]] = defaultdict(list)
    running: dict[tuple[str, int, int], deque[int]] = defaultdict(deque)
    for event in events:
        mine, key = runs[event.task_id], (event.task_id, event.pid, event.deliveries)
        if event.kind is Kind.START:
            running[key].append(len(mine))
            mine.append(Run(event, None))
        elif event.kind in _ENDS and running[key]:
            at = running[key].popleft()
            mine[at] = Run(mine[at].start, event)
    return {task_id: mine for task_id, mine in runs.items() if mine}


def _windows(events: Iterable[Event]) -> Iterator[Window]:
    closing = {Kind.CONTINUED: Kind.STOPPED, Kind.UP: Kind.DOWN}
    opened: dict[tuple[Kind, int], int] = {}
    for event in events:
        match event.kind:
            case Kind.KILLED | Kind.STALLED:
                yield Window(event.kind, event.pid, event.at_ns - event.value, event.at_ns)
            case Kind.TERMINATED:
                yield Window(event.kind, event.pid, event.at_ns, _FOREVER)
            case Kind.STOPPED | Kind.DOWN:
                opened[event.kind, event.pid] = event.at_ns
            case Kind.CONTINUED | Kind.UP:
                kind = closing[event.kind]
                yield Window(kind, event.pid, opened.pop((kind, event.pid)), event.at_ns)
            case _:
                pass
    for (kind, pid), since_ns in opened.items():
        yield Window(kind, pid, since_ns, _FOREVER)
