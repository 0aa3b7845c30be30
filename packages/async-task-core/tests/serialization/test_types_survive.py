"""Every supported type comes back equal and of exactly the same type."""

import collections
import dataclasses
import enum
import math
import typing
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from async_task.errors import EncodeError
from async_task.serialization.codec import Codec
from async_task.serialization.types import TypeRegistry
from hypothesis import given
from hypothesis import strategies as st


class Color(enum.Enum):
    RED = "r"
    CRIMSON = RED
    BLUE = 2


class Size(enum.IntEnum):
    SMALL = 1


class Mode(enum.StrEnum):
    FAST = "fast"


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Point(typing.NamedTuple):
    x: int
    y: int = 0


Pair = collections.namedtuple("Pair", "left right")


@dataclasses.dataclass(frozen=True)
class Line:
    price: Decimal
    color: Color = Color.RED


@dataclasses.dataclass
class Order:
    lines: list[Line]
    note: str = ""
    total: int = dataclasses.field(init=False, default=0)

    def __post_init__(self) -> None:
        self.total = len(self.lines)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Slotted:
    inner: Line | None = None
    late: int = dataclasses.field(init=False)


@dataclasses.dataclass
class Empty:
    pass


registry = TypeRegistry()
for cls in (Color, Size, Mode, Access, Point, Pair, Line, Order, Slotted, Empty):
    registry.register(cls)
codec = Codec(registry)


def changed_order() -> Order:
    order = Order([Line(Decimal("9.90"), Color.BLUE)], note="x")
    order.total = 99
    return order


def late() -> Slotted:
    value = Slotted(inner=Line(Decimal(1)))
    object.__setattr__(value, "late", 7)
    return value


BERLIN = ZoneInfo("Europe/Berlin")
VALUES = [
    None,
    True,
    False,
    0,
    -1,
    2**63,
    2**64 - 1,
    2**64,
    -(2**63),
    -(2**63) - 1,
    2**4096 - 1,
    1 - 2**4096,
    0.5,
    math.inf,
    -math.inf,
    "",
    "h\u00e9llo \U0001f600\0",
    b"",
    b"\xc1\xff",
    1j,
    complex(-0.0, math.inf),
    [],
    [1, [2, [3]]],
    (),
    (1, (2, [3, ()])),
    {},
    {1: "a", "1": "b", None: "c", 2.5: "d", b"e": "e"} | {(1, (2,)): {"x": ()}},
    {frozenset([1]): 1, Color.RED: 2, UUID(int=5): 3, date(2024, 1, 1): 4, 2**70: 5},
    set(),
    {(1, 2), (3, 4)},
    {frozenset([1, (2,)])},
    frozenset(),
    frozenset(["a", 1]),
    {"__datetime__": "2024-01-01", "__set__": [1], "__tuple__": [1], "__class__": "os:system"},
    datetime(2024, 2, 29, 12, 30, 59, 999999),  # noqa: DTZ001 - naive ones travel too
    datetime.min,  # noqa: DTZ901 - naive ones travel too
    datetime.max,  # noqa: DTZ901 - naive ones travel too
    datetime(2024, 1, 1, tzinfo=UTC),
    datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=-5, minutes=-30))),
    datetime(2024, 1, 1, tzinfo=timezone(timedelta(seconds=1, microseconds=1), "odd \u00e9")),
    datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN),
    datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN, fold=1),
    datetime(2024, 1, 1, tzinfo=ZoneInfo("UTC")),
    date.min,
    date.max,
    time(1, 2, 3, 4),
    time(1, 2, fold=1),
    time(23, 59, tzinfo=UTC),
    time(23, 59, tzinfo=BERLIN),
    timedelta.min,
    timedelta.max,
    timedelta(-1, 2, 3),
    Decimal("1.10"),
    Decimal("-0"),
    Decimal("0E-10"),
    Decimal("1E+6176"),
    Decimal("1E-6176"),
    Decimal("Infinity"),
    Decimal("9" * 1000),
    UUID("12345678-1234-5678-1234-567812345678"),
    Path("a/b.txt"),
    Path("odd-\udcff"),
    PurePosixPath("/x"),
    PureWindowsPath("C:\\x"),
    Color.BLUE,
    Color.CRIMSON,
    Size.SMALL,
    Mode.FAST,
    Access.READ,
    Access(0),
    Access.READ | Access.WRITE,
    Point(1),
    Pair((1,), [2]),
    Line(Decimal("1.0")),
    changed_order(),
    Slotted(),
    late(),
    Empty(),
    {"nested": [(Order([Line(Decimal(1))]), {Color.RED: {Size.SMALL}})]},
]


def same(left: Any, right: Any) -> bool:
    """Compare with exact types throughout; NaN equals NaN."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        pairs = zip(left.items(), right.items(), strict=True)
        return len(left) == len(right) and all(
            same(a, c) and same(b, d) for (a, b), (c, d) in pairs
        )
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, (set, frozenset)):
        return len(left) == len(right) and all(
            any(same(one, other) for other in right) for one in left
        )
    if isinstance(left, (float, complex)):
        return repr(left) == repr(right)
    if isinstance(left, (datetime, time)):
        zones = (left.tzinfo, right.tzinfo)
        same_zone = type(zones[0]) is type(zones[1]) and str(zones[0]) == str(zones[1])
        return same_zone and left.fold == right.fold and left.isoformat() == right.isoformat()
    if isinstance(left, Decimal):
        return str(left) == str(right)
    if dataclasses.is_dataclass(left):
        names = [field.name for field in dataclasses.fields(left)]
        missing = object()
        return all(
            same(getattr(left, name, missing), getattr(right, name, missing))
            for name in names
            if hasattr(left, name) or hasattr(right, name)
        )
    return bool(left == right)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_comes_back_as_it_was(value: object) -> None:
    assert same(codec.decode(codec.encode(value)), value)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_comes_back_as_an_argument(value: object) -> None:
    args, kwargs = codec.decode_arguments(codec.encode_arguments((value,), {"x": value}))
    assert same(args, [value])
    assert same(kwargs, {"x": value})


def test_nan_comes_back() -> None:
    for value in (math.nan, Decimal("NaN123"), Decimal("sNaN")):
        decoded = codec.decode(codec.encode(value))
        assert type(decoded) is type(value)
        assert str(decoded) == str(value)


def test_a_fixed_offset_keeps_its_name() -> None:
    value = datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=1), "CET"))
    assert isinstance(decoded := codec.decode(codec.encode(value)), datetime)
    assert decoded.tzname() == "CET"


def test_subclasses_of_plain_scalars_arrive_plain() -> None:
    class Handle(str):
        def __str__(self) -> str:
            return "other"

    class Count(int):
        pass

    class Ratio(float):
        pass

    class Blob(bytes):
        pass

    sent = [Handle("id"), Count(3), Count(2**70), Ratio(0.5), Blob(b"x"), {Handle("k"): 1}]
    assert same(codec.decode(codec.encode(sent)), ["id", 3, 2**70, 0.5, b"x", {"k": 1}])


def test_buffers_arrive_as_bytes() -> None:
    assert same(codec.decode(codec.encode([bytearray(b"x"), memoryview(b"y")])), [b"x", b"y"])


@pytest.mark.parametrize(
    "value",
    [
        collections.OrderedDict(a=1),
        collections.defaultdict(list),
        collections.Counter("a"),
        type("Stamp", (datetime,), {})(2024, 1, 1),
        type("Items", (list,), {})(),
        object(),
        range(3),
        len,
        Color,
        iter([]),
        datetime(2024, 1, 1, tzinfo=type("Zone", (ZoneInfo,), {})("UTC")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_anything_else_is_refused(value: object) -> None:
    with pytest.raises(EncodeError, match=r"^value\[0\] is a "):
        codec.encode([value])


ZONES = st.none() | st.just(UTC) | st.sampled_from([BERLIN, ZoneInfo("Asia/Kathmandu")])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**4095), 2**4095),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
    st.datetimes(timezones=ZONES),
    st.datetimes(timezones=st.timezones()),
    st.dates(),
    st.times(timezones=ZONES),
    st.timedeltas(),
    st.timedeltas(timedelta(hours=-23), timedelta(hours=23))
    .map(timezone)
    .map(lambda zone: datetime(2024, 1, 1, tzinfo=zone)),
    st.decimals(allow_nan=False).filter(lambda d: d.is_infinite() or abs(d.adjusted()) < 6000),
    st.uuids(),
    st.sampled_from([*Color, *Size, *Mode, Access(0), Access(3)]),
    st.text(st.characters(exclude_characters="\0"), max_size=20).map(Path),
    st.complex_numbers(allow_nan=False),
)
KEYS = st.recursive(
    SCALARS, lambda keys: st.tuples(keys, keys) | st.frozensets(keys, max_size=3), max_leaves=4
)
TREES = st.recursive(
    SCALARS,
    lambda trees: st.one_of(
        st.lists(trees, max_size=4),
        st.lists(trees, max_size=4).map(tuple),
        st.dictionaries(KEYS, trees, max_size=4),
        st.sets(KEYS, max_size=4),
        st.frozensets(KEYS, max_size=4),
        st.builds(Pair, trees, trees),
        st.builds(Order, st.lists(st.builds(Line, trees, trees), max_size=2), trees),
    ),
    max_leaves=12,
)


@given(TREES)
def test_any_tree_comes_back(value: object) -> None:
    decoded = codec.decode(codec.encode(value))
    assert same(decoded, value)
    assert decoded == value
