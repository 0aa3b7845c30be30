"""Bytes written once stay readable: stored messages outlive the code that wrote them."""

import dataclasses
import enum
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PurePosixPath, PureWindowsPath
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from async_task.serialization.codec import Codec
from async_task.serialization.types import TypeRegistry


class Color(enum.Enum):
    RED = 1


class Access(enum.Flag):
    READ = 1
    WRITE = 2


@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    y: int


registry = TypeRegistry()
registry.register(Color, "color")
registry.register(Access, "access")
registry.register(Point, "point")
codec = Codec(registry)

V1: list[tuple[object, str]] = [
    ([None, True, 1, 0.5, "a", b"b", {"k": {}}], "97c0c301cb3fe0000000000000a161c4016281a16b80"),
    (2**64, "c70901010000000000000000"),
    (1 + 2j, "d8023ff00000000000004000000000000000"),
    (datetime(2024, 2, 29, 1, 2, 3, 4), "c70c0307e8021d0102030000000400"),  # noqa: DTZ001 - naive ones travel too
    (datetime(2024, 2, 29, tzinfo=UTC), "c70d0307e8021d000000000000000000"),
    (
        datetime(2024, 2, 29, tzinfo=timezone(timedelta(hours=1), "X")),
        "c7160307e8021d00000000000000000100000000d693a40058",
    ),
    (
        datetime(2024, 2, 29, tzinfo=ZoneInfo("Europe/Rome"), fold=1),
        "c7180307e8021d0000000000000001024575726f70652f526f6d65",
    ),
    (date(2024, 2, 29), "d60407e8021d"),
    (time(1, 2, 3, 4), "d7050102030000000400"),
    (timedelta(1, 2, 3), "c70c06000000010000000200000003"),
    (Decimal("-1.50"), "c705072d312e3530"),
    (UUID(int=1), "d80800000000000000000000000000000001"),
    (Path("a"), "d5090061"),
    (PurePosixPath("a"), "d5090161"),
    (PureWindowsPath("a"), "d5090261"),
    ((1, "a"), "d6109201a161"),
    ({1}, "d5119101"),
    (frozenset([1]), "d5129101"),
    (Color.RED, "c70b1392a5636f6c6f72a3524544"),
    (Access.READ | Access.WRITE, "c7091392a661636365737303"),
    (Point(1, 2), "c70d1495a5706f696e74a17801a17902"),
]


@pytest.mark.parametrize(("value", "encoded"), V1, ids=lambda part: type(part).__name__)
def test_version_1_is_fixed(value: object, encoded: str) -> None:
    decoded = codec.decode(bytes.fromhex(encoded))
    assert decoded == value
    assert type(decoded) is type(value)
    assert codec.encode(value).hex() == encoded
