"""Regression tests for what the predecessors got wrong (their serializers, ORM references)."""

import dataclasses
import enum
import sys
from datetime import time, timedelta
from pathlib import Path

import pytest
from async_task.errors import EncodeError
from async_task.serialization.codec import Codec
from async_task.serialization.types import TypeRegistry


class Color(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Order:
    number: int


registry = TypeRegistry()
registry.register(Color)
registry.register(Order)
codec = Codec(registry)


@pytest.mark.parametrize(
    "value",
    [(1, 2), timedelta(1), time(1), Color.RED, Order(1), Path("x"), 2**100, {(1, 2)}, {1: 2}],
    ids=repr,
)
def test_no_type_changes_silently(value: object) -> None:
    (decoded,), _ = codec.decode_arguments(codec.encode_arguments([value], {}))
    assert decoded == value
    assert type(decoded) is type(value)


@pytest.mark.parametrize(
    "value",
    [
        {"__datetime__": "2024-01-01T00:00:00"},
        {"__set__": [1]},
        {"__type__": "tuple", "items": [1]},
        {"__orm:sqlalchemy__": 1, "__orm_class__": "antigravity.Model"},
        {"class": "turtle.Turtle", "func_file": "x.py", "class_file": "x.py"},
    ],
)
def test_a_dict_of_the_user_is_a_dict(value: dict[str, object]) -> None:
    before = set(sys.modules)
    assert codec.decode(codec.encode(value)) == value
    assert set(sys.modules) == before


def test_what_cannot_be_decoded_is_not_dispatched() -> None:
    with pytest.raises(EncodeError):
        codec.encode({"x": {Unregistered.A: 1}})


class Unregistered(enum.StrEnum):
    A = "a"
