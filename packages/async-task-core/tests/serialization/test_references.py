"""References are found in payloads, and values put in their place."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from async_task.errors import DecodeError
from async_task.serialization import wire
from async_task.serialization.codec import Codec
from async_task.serialization.hooks import Fetched
from async_task.serialization.types import TypeRegistry


@dataclass(frozen=True)
class Book:
    number: int


@dataclass(frozen=True)
class Shelf:
    books: tuple[Book, ...]

    def __post_init__(self) -> None:
        assert all(isinstance(book, Book) for book in self.books)


class Library:
    tag = "book"

    def handles(self, value: object) -> bool:
        return isinstance(value, Book)

    def encode(self, value: object) -> object:
        assert isinstance(value, Book)
        return value.number

    def decode(self, data: object) -> object:
        if type(data) is not int:
            raise TypeError(f"{data!r} is no number of a book")
        return data

    async def fetch(self, references: Sequence[Hashable]) -> Fetched:
        raise NotImplementedError


types = TypeRegistry()
types.register(Shelf)
codec = Codec(types, [Library()])
found: dict[str, dict[Hashable, object]] = {"book": {number: Book(number) for number in (1, 2, 3)}}


def test_references_are_found_wherever_they_are() -> None:
    data = codec.encode({"a": [(Book(1),), {Book(2)}], Book(3): Shelf((Book(1),))})
    assert codec.references(data) == {"book": {1: None, 2: None, 3: None}}


def test_values_take_their_place() -> None:
    value = [Shelf((Book(1), Book(2))), {Book(3): Book(3)}]
    assert codec.resolving(found).decode(codec.encode(value)) == value
    args = codec.encode_arguments([Book(1)], {"b": Book(2)})
    assert codec.resolving(found).decode_arguments(args) == ([Book(1)], {"b": Book(2)})


def test_without_values_the_references_are_seen() -> None:
    assert codec.decode(codec.encode([Book(2)])) == [2]


def test_most_payloads_need_no_looking_through() -> None:
    assert not codec.refers(codec.encode({"a": [1, "two"]}))
    assert codec.refers(codec.encode(Book(1)))
    assert not Codec(types).refers(codec.encode(Book(1)))
    assert codec.references(codec.encode("a book")) == {}


def test_a_tag_in_another_form_is_found_too() -> None:
    """The header of a text has several lengths: no payload slips a reference past the looking."""
    data = wire.pack(wire.ext(wire.CUSTOM, b"\x92\xd9\x04book\x01"), lambda value: value)
    assert codec.refers(data)
    assert codec.references(data) == {"book": {1: None}}


def custom(members: Any) -> bytes:
    return wire.pack(wire.ext(wire.CUSTOM, wire.pack(members, _no)), lambda value: value)


def _no(value: object) -> object:
    raise TypeError(value)


@pytest.mark.parametrize(
    "data",
    [
        custom(["book", "one"]),
        custom(["book"]),
        custom(["book", 1, 2]),
        custom(["book", []]),
        codec.encode(Book(1))[:-1],
        codec.encode(Book(1)) + b"\x00",
    ],
)
def test_malformed_references_are_decode_errors(data: bytes) -> None:
    with pytest.raises(DecodeError):
        codec.references(data)
    with pytest.raises(DecodeError):
        codec.decode(data)


def test_what_is_no_reference_is_not_built_by_looking() -> None:
    assert codec.references(custom([["book"], 1])) == {}
    assert codec.references(custom([])) == {}
    assert codec.references(custom(["another", {"book": 1}])) == {}
