"""No bytes make the decoder do anything but return a value or raise `DecodeError`."""

import contextlib
import dataclasses
import enum
import struct
import sys
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

import msgpack
import pytest
from async_task.errors import DecodeError, EncodeError
from async_task.serialization import wire
from async_task.serialization.codec import Codec
from async_task.serialization.limits import Limits, check
from async_task.serialization.types import TypeRegistry
from hypothesis import example, given
from hypothesis import strategies as st


class Color(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Order:
    number: int
    color: Color = Color.RED
    tags: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.number == 13:
            raise RuntimeError("unlucky")


registry = TypeRegistry()
registry.register(Order, "order")
registry.register(Color, "color")
codec = Codec(registry)


def ext(code: int, *members: object) -> msgpack.ExtType:
    return msgpack.ExtType(code, msgpack.packb(list(members)))


def refused(data: bytes, *, using: Codec = codec) -> str:
    with pytest.raises(DecodeError) as caught:
        using.decode(data)
    return str(caught.value)


@given(st.binary(max_size=300))
@example(b"")
@example(b"\xc1")
@example(b"\xc0\xc0")
@example(b"\xd4")
@example(b"\xdd\xff\xff\xff\xff")
@example(b"\xc9\xff\xff\xff\xff\x10\x90")
def test_random_bytes(data: bytes) -> None:
    for decode in (codec.decode, codec.decode_arguments):
        with contextlib.suppress(DecodeError):
            decode(data)


SAMPLES = [
    codec.encode(value)
    for value in (
        [Order(1, tags=frozenset("ab")), {(1, 2): {UUID(int=3)}}, 2**80, 1j, None],
        {"a": [(1, (2, (3,)))] * 5, "b": [[[["x"]]]], "c": b"y" * 300, "d": "z" * 300},
        [list(range(300)), {i: str(i) for i in range(20)}],
    )
]


@given(st.sampled_from(SAMPLES), st.data())
def test_mutated_bytes(sample: bytes, data: st.DataObject) -> None:
    body = bytearray(sample)
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(body) - 1))
        match data.draw(st.sampled_from(["change", "insert", "delete", "cut"])):
            case "change":
                body[position] = data.draw(st.integers(0, 255))
            case "insert":
                body.insert(position, data.draw(st.integers(0, 255)))
            case "delete" if len(body) > 1:
                del body[position]
            case _:
                body = body[: position + 1]
    with contextlib.suppress(DecodeError):
        codec.decode(bytes(body))


@given(st.binary(max_size=60), st.integers(1, 5))
def test_the_scan_agrees_with_the_decoder(data: bytes, depth: int) -> None:
    """What the scan clears has the depth and number of values that decoding finds."""
    strict = Codec(registry, limits=Limits(max_depth=depth, max_items=12))
    try:
        value = strict.decode(data)
    except DecodeError:
        return
    assert depth_of(value) <= depth


def depth_of(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max((depth_of(part) for pair in value.items() for part in pair), default=0)
    if isinstance(value, (list, tuple, set, frozenset)):
        return 1 + max(map(depth_of, value), default=0)
    return 0


@pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: (v,), lambda v: {"k": v}])
def test_depth_is_exact_in_both_directions(wrap: Callable[[object], object]) -> None:
    small = Codec(registry, limits=Limits(max_depth=3))
    large = Codec(registry)
    value: object = 1
    for depth in range(1, 5):
        value = wrap(value)
        if depth <= 3:
            assert small.decode(small.encode(value)) == value
            args, kwargs = small.decode_arguments(small.encode_arguments([value], {"x": value}))
            assert (args, kwargs) == ([value], {"x": value})
        else:
            with pytest.raises(EncodeError, match="deeper than 3"):
                small.encode(value)
            with pytest.raises(EncodeError, match="deeper than 3"):
                small.encode_arguments([value], {})
            assert "deeper" in refused(large.encode(value), using=small)
            with pytest.raises(DecodeError, match="deeper"):
                small.decode_arguments(large.encode_arguments([value], {}))


@pytest.mark.parametrize(
    ("value", "items"),
    [
        ([None] * 9, 10),
        ({i: i for i in range(4)}, 9),
        ((1, (2, 3)), 5),
        ({"a": "x" * 1000, "b": [b"y" * 1000]}, 6),
        (Order(1), 10),
        ([2**70, UUID(int=1), 1.5, -200, 70000], 6),
    ],
)
def test_items_are_exact_in_both_directions(value: object, items: int) -> None:
    for limit, fits in ((items - 1, False), (items, True), (items + 1, True)):
        small = Codec(registry, limits=Limits(max_items=limit))
        data = codec.encode(value)
        if fits:
            assert small.decode(small.encode(value)) == value
        elif len(data) > limit:
            assert "values" in refused(data, using=small)
            with pytest.raises(EncodeError, match="values"):
                small.encode(value)


def test_bytes_are_exact_in_both_directions() -> None:
    value = "x" * 40
    data = codec.encode(value)
    for limit in (len(data), len(data) + 1):
        exact = Codec(registry, limits=Limits(max_bytes=limit))
        assert exact.decode(exact.encode(value)) == value
    small = Codec(registry, limits=Limits(max_bytes=len(data) - 1))
    assert "limit" in refused(data, using=small)
    with pytest.raises(EncodeError, match="limit"):
        small.encode(value)


def test_a_million_empty_maps_are_refused_before_they_are_built() -> None:
    data = b"\xdd" + struct.pack(">I", 1_000_000) + b"\x80" * 1_000_000
    tracemalloc.start()
    try:
        refused(data)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("header", [b"\x91", b"\x81", b"\x81\x01", b"\xdd\0\0\0\x01"])
def test_a_tower_is_refused(header: bytes) -> None:
    for height in (33, 1000, 1025, 100_000):
        refused(header * height + b"\xc0")


def test_a_tower_of_extensions_is_refused() -> None:
    for inner in (b"\xc0", b"\x90"):
        data = inner
        for code in (wire.TUPLE, wire.SET, wire.CUSTOM, wire.OBJECT) * 300:
            data = b"\xc9" + struct.pack(">I", len(data) + 1) + bytes([code]) + b"\x91" + data
        refused(data)
        data = inner
        while len(data) < 100_000:  # without arrays in between
            data = b"\xc9" + struct.pack(">I", len(data)) + bytes([wire.TUPLE]) + data
        refused(data)


def test_an_extension_that_lies_about_its_length_is_refused() -> None:
    lying = b"\x92\xc7\x01\x10\x92\x01\x02"  # a tuple of two in one byte, then what follows
    refused(lying)
    with pytest.raises(DecodeError):
        check(lying, Limits(max_depth=1))


@pytest.mark.parametrize(
    "value",
    [
        ext(wire.OBJECT, "os:system", "command", "true"),
        ext(wire.OBJECT, "this:that"),
        ext(wire.ENUM, "antigravity:X", "Y"),
        ext(wire.MODEL, "wave:Wave_read", 0),
        ext(wire.CUSTOM, "turtle", "x"),
    ],
)
def test_a_name_imports_nothing(value: object) -> None:
    before = set(sys.modules)
    refused(msgpack.packb([value]))
    assert set(sys.modules) == before


@pytest.mark.parametrize(
    "value",
    [
        ext(wire.OBJECT),
        ext(wire.OBJECT, []),
        ext(wire.OBJECT, "order"),
        ext(wire.OBJECT, "order", "number"),
        ext(wire.OBJECT, "order", 1, 2),
        ext(wire.OBJECT, "order", [], 2),
        ext(wire.OBJECT, "order", "number", 1, "number", 2),
        ext(wire.OBJECT, "order", "number", 13),
        ext(wire.OBJECT, "color", "RED"),
        ext(wire.ENUM, "order", "RED"),
        ext(wire.ENUM, "color", "GREEN"),
        ext(wire.ENUM, "color", "__class__"),
        ext(wire.ENUM, "color", "mro"),
        ext(wire.ENUM, "color"),
        ext(wire.SET, []),
        ext(wire.SET, 1, 1),
        ext(wire.FROZENSET, 1, True),
        ext(wire.CUSTOM, "x"),
        ext(99, 1),
        msgpack.ExtType(wire.TUPLE, b""),
        msgpack.ExtType(wire.TUPLE, b"\x80"),
        msgpack.ExtType(wire.INT, b""),
        msgpack.ExtType(wire.INT, b"\x01" + b"\0" * 600),
        msgpack.ExtType(wire.DECIMAL, b"1E+999999999"),
        msgpack.ExtType(wire.DECIMAL, b"1" * 2000),
        msgpack.ExtType(wire.DECIMAL, b"x"),
        msgpack.ExtType(wire.UUID, b"x"),
        msgpack.ExtType(wire.DATE, b"\0\0\0\0"),
        msgpack.ExtType(wire.DATETIME, b"\0\1\1\1\0\0\0\0\0\0\0\0\2../../etc/passwd"),
        msgpack.ExtType(wire.DATETIME, b"\0\1\1\1\0\0\0\0\0\0\0\0\2Nowhere/At_All"),
        msgpack.ExtType(wire.DATETIME, b"\0\1\1\1\0\0\0\0\0\0\0\0\7"),
        msgpack.ExtType(wire.TIME, b"\x19\0\0\0\0\0\0\0"),
        msgpack.ExtType(wire.TIMEDELTA, b"\x7f\xff\xff\xff\0\0\0\0\0\0\0\0"),
        msgpack.ExtType(wire.PATH, b"\x09x"),
        msgpack.ExtType(wire.PATH, b""),
        msgpack.ExtType(wire.COMPLEX, b"x"),
    ],
)
def test_malformed_values_are_refused(value: object) -> None:
    assert "unlucky" not in refused(msgpack.packb([value]))


def test_a_dataclass_names_its_wrong_fields() -> None:
    def of(*members: object) -> bytes:
        return bytes(msgpack.packb(ext(wire.OBJECT, "order", *members)))

    assert "Order" in (message := refused(of("number", 1, "colour", 2)))
    assert "colour" in message
    assert "'number'" in refused(of())
    assert codec.decode(of("number", 1)) == Order(1)


def test_a_key_twice_is_refused() -> None:
    refused(b"\x82\x01\xc0\x01\xc0")
    refused(b"\x81\x90\xc0")


def test_keys_made_to_collide_are_refused() -> None:
    modulus = sys.hash_info.modulus
    keys = [UUID(int=7 + i * modulus) for i in range(65)]
    assert len({hash(key) for key in keys}) == 1
    ids = [msgpack.ExtType(wire.UUID, key.bytes) for key in keys]
    assert "hash" in refused(msgpack.packb(ext(wire.SET, *ids)))
    assert "hash" in refused(msgpack.packb(dict.fromkeys(ids, 1)))
    assert codec.decode(msgpack.packb(ext(wire.SET, *ids[:64]))) == set(keys[:64])


def test_arguments_must_be_arguments() -> None:
    wrong_keys: list[object] = [[[], {1: 2}], [[], {b"x": 2}]]
    values: list[object] = [1, [], [[]], [[], {}, 1], [(), {}], [{}, []], *wrong_keys]
    for value in values:
        with pytest.raises(DecodeError, match="no task arguments"):
            codec.decode_arguments(codec.encode(value))


def test_msgpack_timestamps_are_read_as_utc() -> None:
    data = msgpack.packb(msgpack.Timestamp(1, 5000))
    assert codec.decode(data) == datetime(1970, 1, 1, 0, 0, 1, 5, tzinfo=UTC)
    refused(b"\xc7\x0c\xff" + b"\xff" * 12)
