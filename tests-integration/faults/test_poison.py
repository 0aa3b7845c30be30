"""Tasks that take their process down: each ends as poison, and those beside it come through."""

from __future__ import annotations

import signal
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from faults.app import nap, poison
from faults.history import Kind
from faults.waiting import until

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from faults.scene import Scene

pytestmark = pytest.mark.anyio

KILLERS = [0, signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT, 0]


async def test_poison_dies_alone(
    scene: Scene, size: Callable[[int, int], int], chance: random.Random
) -> None:
    poisons, count = size(1, len(KILLERS)), size(40, 500)
    calls = [poison(int(number)) for number in KILLERS[:poisons]]
    calls += [nap(chance.uniform(0.05, 0.2)) for _ in range(count)]
    chance.shuffle(calls)
    await scene.fleet.started(2)
    ids = await scene.dispatch(calls)
    deaths = 0

    async def drained() -> bool:
        nonlocal deaths
        deaths += scene.fleet.mend()
        return await scene.is_drained()

    await until(drained, "an empty store")
    letters = await scene.driver.dead_letters.browse("default")
    assert [(letter.reason, letter.task) for letter in letters] == [
        ("poison", "faults.poison")
    ] * poisons
    # Twice in a worker, unless it died with a neighbour there, and twice alone. A delivery that
    # only waited for a free slot and was put back is no run.
    runs = Counter(event.task_id for event in scene.history.events(Kind.CRASHED))
    assert set(runs.values()) <= {2, 3, 4}, runs
    assert deaths <= 2 * poisons
    assert scene.history.count(Kind.DONE, ids) == count
    assert scene.violations(dead={letter.id for letter in letters}) == []
