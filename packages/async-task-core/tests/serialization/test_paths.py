"""A value that cannot be encoded is named by its place, with a remedy."""

import dataclasses
import enum
from datetime import datetime, time, timedelta, tzinfo
from decimal import Decimal

import pytest
from async_task.errors import EncodeError
from async_task.serialization.codec import Codec
from async_task.serialization.limits import Limits
from async_task.serialization.types import TypeRegistry


@dataclasses.dataclass
class Line:
    price: object


@dataclasses.dataclass
class Order:
    lines: list[Line]


class Level(enum.IntEnum):
    LOW = 1


class Mode(enum.StrEnum):
    FAST = "fast"


registry = TypeRegistry()
registry.register(Order)
codec = Codec(registry)
BAD = object()


def failure(value: object, root: str = "value") -> EncodeError:
    with pytest.raises(EncodeError) as caught:
        codec.encode(value, root)
    return caught.value


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (BAD, "value"),
        ([1, [2, BAD]], "value[1][1]"),
        ((1, BAD), "value[1]"),
        ({"items": [0, {"x": BAD}]}, "value['items'][1]['x']"),
        ({3: BAD}, "value[3]"),
        ({(1, 2): BAD}, "value[<tuple>]"),
        ({BAD: 1}, "value.keys()"),
        ({(1, BAD)}, "value{}[1]"),
        (frozenset([BAD]), "value{}"),
        (Order([Line(1), Line(BAD)]), "value.lines[1].price"),
        (Order([Line({"a": "\ud800"})]), "value.lines[0].price['a']"),
        ([2**4096], "value[0]"),
        ([Decimal("1E+6177")], "value[0]"),
        ([Decimal("9" * 1017)], "value[0]"),
    ],
)
def test_the_path_leads_to_the_part(value: object, path: str) -> None:
    error = failure(value)
    assert error.path == path
    assert str(error).startswith(f"{path} is a ")


def test_arguments_are_called_by_their_names() -> None:
    good, bad = Order([]), Order([Line(0), Line(1), Line(BAD)])
    for args, kwargs, names, path in [
        ((good, bad), {}, ["first", "order"], "order.lines[2].price"),
        ((good, bad), {}, ["first"], "args[1].lines[2].price"),
        ((bad,), {}, (), "args[0].lines[2].price"),
        ((good,), {"order": bad}, ["first"], "order.lines[2].price"),
    ]:
        with pytest.raises(EncodeError) as caught:
            codec.encode_arguments(args, kwargs, names)
        assert caught.value.path == path


def test_the_message_says_what_to_do() -> None:
    @dataclasses.dataclass
    class Unknown:
        x: int = 1

    assert "register a ValueCodec" in str(failure(BAD))
    assert "annotate a parameter" in str(failure(Unknown()))
    assert "lone surrogate at index 1" in str(failure("a\ud800"))
    assert "time zone" in str(failure([time(tzinfo=Odd())]))


class Odd(tzinfo):
    def utcoffset(self, dt: datetime | None, /) -> timedelta:
        return timedelta(0)

    def dst(self, dt: datetime | None, /) -> None:
        return None

    def tzname(self, dt: datetime | None, /) -> str:
        return "odd"


@pytest.mark.parametrize("member", [Level.LOW, Mode.FAST])
def test_an_unregistered_enum_never_becomes_its_value(member: object) -> None:
    assert "register_type" in str(failure(member))


def test_a_cycle_is_named() -> None:
    direct: list[object] = []
    direct.append(direct)
    assert "contains itself" in str(failure(direct))
    through: dict[str, object] = {}
    order = Order([Line((through,))])
    through["back"] = order
    error = failure({"order": order}, "argument")
    assert error.path == "argument['order'].lines[0].price[0]['back']"
    assert "contains itself" in str(error)


def test_too_deep_is_named_by_place() -> None:
    value: object = 1
    for _ in range(33):
        value = [value]
    error = failure({"x": 1, "y": value})
    assert error.path == "value['y']" + "[0]" * 31
    assert "deeper than 32" in str(error)


def test_too_large_names_the_largest_argument() -> None:
    small = Codec(registry, limits=Limits(max_bytes=100))
    with pytest.raises(EncodeError, match="the limit is 100") as caught:
        small.encode_arguments(["a" * 10, "b" * 90], {"c": "d" * 20}, ["to", "body"])
    assert caught.value.path == "body"


def test_no_content_in_messages_beyond_short_keys() -> None:
    error = failure({"k" * 1000: BAD})
    assert len(str(error)) < 250


def test_a_constructor_that_cannot_be_fed_fails_at_the_sender() -> None:
    @dataclasses.dataclass
    class Seeded:
        seed: dataclasses.InitVar[int]
        value: int = 0

        def __post_init__(self, seed: int) -> None:
            self.value = seed

    TypeRegistry.register(registry, Seeded)
    assert "seed" in str(failure(Seeded(3)))


def test_a_failure_leaves_the_codec_usable() -> None:
    failure([BAD])
    assert codec.decode(codec.encode([(1,)])) == [(1,)]
