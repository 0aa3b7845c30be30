"""Bytes that are no task: each a dead letter, unchanged, and the good ones beside it are done."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from async_task.core.envelope import Envelope
from async_task.core.ids import id_text, new_id
from async_task.serialization.plain import pack_plain
from async_task.spi.messages import Message

from faults.app import nap
from faults.history import Event, Kind, now_ns

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from faults.scene import Scene

pytestmark = pytest.mark.anyio

NOTHING: list[int] = []
GOOD = Envelope("faults.nap", pack_plain([NOTHING, {"seconds": 0}]), 0)
FIXED = [
    b"",
    b"\x00",
    pack_plain(None),
    pack_plain("task"),
    pack_plain(b"\x02 is no newer version"),
    pack_plain(NOTHING),
    pack_plain([0, "faults.nap", b"", 0, None]),
    pack_plain([True, "faults.nap", b"", 0, None]),
    pack_plain([1, b"faults.nap", b"", 0, None]),
    pack_plain([1, "faults.nap", NOTHING, 0, None]),
    pack_plain([1, "faults.nap", b"", "now", None]),
    b"\x91" * 10_000,  # nested deeper than any stack
    b"\xdd\xff\xff\xff\xff",  # an array of four billion
    b"\xc6\xff\xff\xff\xff" + bytes(100),  # a string of four billion bytes
    GOOD.pack() + b"\x00",
    Envelope("faults.nap", b"", 0).pack(),
    Envelope("faults.nap", b"\xc1", 0).pack(),
    Envelope("faults.nap", pack_plain([NOTHING, {"hours": 1}]), 0).pack(),
    Envelope("faults.nap", pack_plain([[1, 2, 3], {"seconds": 0}]), 0).pack(),
    Envelope("faults.nap", pack_plain({"__import__": "os"}), 0).pack(),
]


def bad_body(chance: random.Random) -> bytes:
    match chance.randrange(3):
        case 0:  # 0xc1 is the one byte that nothing begins with
            return b"\xc1" + chance.randbytes(chance.randrange(300))
        case 1:
            return GOOD.pack()[: chance.randrange(len(GOOD.pack()))]
        case _:
            return Envelope("faults.nap", b"\xc1" + chance.randbytes(20), 0).pack()


async def test_hostile_bodies_harm_nobody(
    scene: Scene, size: Callable[[int, int], int], chance: random.Random
) -> None:
    count = size(50, 500)
    bodies = {new_id(): body for body in [*FIXED, *(bad_body(chance) for _ in range(count))]}
    (worker,) = await scene.fleet.started(1)
    messages = [Message(id_, "default", body) for id_, body in bodies.items()]
    for start in range(0, len(messages), 10):  # among good ones
        await scene.driver.driver.enqueue(messages[start : start + 10])
        await scene.dispatch(nap(0.005) for _ in range(10))
    at_ns = now_ns()
    scene.history.append(*(Event(Kind.ACCEPTED, at_ns, 0, id_text(id_)) for id_ in bodies))
    await scene.drained()

    letters = await scene.driver.dead_letters.browse("default", limit=10 * len(bodies))
    assert {letter.id: letter.body for letter in letters} == {
        id_text(id_): body for id_, body in bodies.items()
    }
    assert {letter.reason for letter in letters} == {"bad_payload", "bad_arguments"}
    assert {letter.deliveries for letter in letters} == {1}
    assert scene.violations(dead={letter.id for letter in letters}) == []
    assert worker.exit_code is None
