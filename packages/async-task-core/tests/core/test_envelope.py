"""The header of a message: readable by every later version, refused when it is something else."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from async_task.core.clock import utc
from async_task.core.envelope import Envelope, unpack
from async_task.errors import DecodeError, UnknownTaskError
from hypothesis import given
from hypothesis import strategies as st

instants = st.integers(0, 253_402_300_799_999)
delays = st.none() | st.integers(0, 2**63)
names = st.text(st.characters(exclude_categories=["Cs"]))


@given(names, st.binary(), instants, delays)
def test_what_is_packed_is_read(name: str, arguments: bytes, at: int, delay: int | None) -> None:
    envelope = Envelope(name, arguments, at, delay)
    assert unpack(envelope.pack()) == envelope
    utc(at)


def test_the_stored_bytes_of_version_1_are_read() -> None:
    stored = bytes.fromhex("9501 a1 74 c4 02 9280 ce 00000005 c0".replace(" ", ""))
    assert unpack(stored) == Envelope("t", b"\x92\x80", 5, None)


def test_further_elements_of_a_newer_writer_are_ignored() -> None:
    body = msgpack.packb([1, "t", b"", 5, None, {"later": True}])
    assert unpack(body) == Envelope("t", b"", 5, None)


@pytest.mark.parametrize("fields", [[2], [2, "anything"], [2**40, None]])
def test_a_newer_version_may_be_known_to_another_worker(fields: list[Any]) -> None:
    with pytest.raises(UnknownTaskError, match=f"envelope version {fields[0]} is newer than 1"):
        unpack(msgpack.packb(fields))


@pytest.mark.parametrize(
    "fields",
    [
        [],
        {},
        None,
        5,
        "text",
        [1],
        [0, "t", b"", 5, None],
        ["1", "t", b"", 5, None],
        [1, b"t", b"", 5, None],
        [1, "t", "", 5, None],
        [1, "t", b"", 5.0, None],
        [1, "t", b"", -1, None],
        [1, "t", b"", 2**63, None],
        [1, "t", b"", True, None],
        [1, "t", b"", 5, -1],
        [1, "t", b"", 5, "1"],
    ],
)
def test_anything_else_is_no_envelope(fields: object) -> None:
    with pytest.raises(DecodeError, match=r"^not an envelope"):
        unpack(msgpack.packb(fields))


@given(st.binary())
def test_bytes_of_any_kind_are_read_or_refused(body: bytes) -> None:
    try:
        unpack(body)
    except (DecodeError, UnknownTaskError) as exc:
        assert len(str(exc)) <= 200
