"""CPU time and memory of process trees, as the kernel counts them (Linux)."""

from __future__ import annotations

import os
import time
from pathlib import Path

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def tree(root: int) -> list[int]:
    """Return a process and those below it."""
    pids = [root]
    for pid in pids:
        try:
            for thread in Path(f"/proc/{pid}/task").iterdir():
                pids.extend(map(int, (thread / "children").read_text().split()))
        except OSError:  # it has ended meanwhile
            continue
    return pids


def cpu_s(pids: list[int]) -> dict[int, float]:
    """Return the CPU seconds of processes, all their threads together, to the nanosecond.

    A process's clock can be read by its number: bits above the third are its pid, inverted, and 2
    asks for the scheduler's own count (clock_getcpuclockid of the C library).
    """
    read: dict[int, float] = {}
    for pid in pids:
        try:
            read[pid] = time.clock_gettime((~pid << 3) | 2)
        except OSError:
            continue
    return read


def spent_s(before: dict[int, float], after: dict[int, float]) -> float:
    """Return the CPU seconds between two readings; of what has ended meanwhile nothing is known."""
    return sum(seconds - before.get(pid, 0.0) for pid, seconds in after.items())


def memory_mib(pids: list[int]) -> float:
    """Return the memory of processes, what they share counted once among them (PSS)."""
    total = 0
    for pid in pids:
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += int(rollup.partition("\nPss:")[2].split()[0])
    return total / 1024


def resident_mib(pids: list[int]) -> float:
    """Return the resident memory of processes, what they share counted for each (RSS)."""
    pages = 0
    for pid in pids:
        try:
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        except OSError:
            continue
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def machine_busy_s() -> float:
    """Return the CPU seconds that all processes of the machine have used."""
    line = Path("/proc/stat").read_text().partition("\n")[0].split()
    user, nice, system, _idle, _wait, irq, softirq, *_ = map(int, line[1:])
    return (user + nice + system + irq + softirq) * TICK_S
