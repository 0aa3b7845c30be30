"""Wire format v1: msgpack with the extension codes below.

Codes and layouts never change their meaning, since stored messages outlive the code that wrote
them; a new layout takes a new code. Plain msgpack carries None, bool, int up to 64 bits, float,
str, bytes, list and dict (keys of any encodable, hashable type). Integers in scalar layouts are
big-endian. The data of every container code is exactly one msgpack array, so that each nesting
level costs an array or map header, which is what the decoder limits count.

| code | type | data |
|---|---|---|
| -1 | datetime | msgpack's own timestamp; read as aware UTC, never written |
| 1 | int | two's complement, beyond 64 bits, at most 4096 bits |
| 2 | complex | real f64, imaginary f64 |
| 3 | datetime | year u16, month, day, hour, minute, second u8, microsecond u32, fold u8, zone |
| 4 | date | year u16, month u8, day u8 |
| 5 | time | hour, minute, second u8, microsecond u32, fold u8, zone |
| 6 | timedelta | days i32, seconds i32, microseconds i32 |
| 7 | Decimal | its text in ASCII |
| 8 | UUID | 16 bytes |
| 9 | path | flavour u8 (0 `Path` of the machine, 1 pure POSIX, 2 pure Windows), UTF-8 text |
| 16 | tuple | its items |
| 17 | set | its members |
| 18 | frozenset | its members |
| 19 | Enum | class name, member name; for a Flag: class name, value |
| 20 | dataclass, named tuple | class name, field, value, field, value, ... |
| 21 | pydantic model | class name, number of explicitly set fields, those, then the others |
| 22 | anything | tag of a `ValueCodec`, its data |

A zone is empty (naive), or 0 (UTC), or 1 and an offset in microseconds i64 and the zone's own name
in UTF-8 (may be empty), or 2 and the key of an IANA zone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, cast

import msgpack

if TYPE_CHECKING:
    from collections.abc import Callable

INT: Final = 1
COMPLEX: Final = 2
DATETIME: Final = 3
DATE: Final = 4
TIME: Final = 5
TIMEDELTA: Final = 6
DECIMAL: Final = 7
UUID: Final = 8
PATH: Final = 9
TUPLE: Final = 16
SET: Final = 17
FROZENSET: Final = 18
ENUM: Final = 19
OBJECT: Final = 20
MODEL: Final = 21
CUSTOM: Final = 22
CONTAINERS: Final = range(TUPLE, CUSTOM + 1)


class Ext(Protocol):
    """A finished extension value, ready for the packer."""

    code: int
    data: bytes


class _Packer(Protocol):
    def pack(self, value: object, /) -> bytes: ...


ext = cast("Callable[[int, bytes], Ext]", msgpack.ExtType)
_new_packer = cast("Callable[..., _Packer]", msgpack.Packer)
_unpackb = cast("Callable[..., object]", msgpack.unpackb)


def pack(value: object, default: Callable[[object], object]) -> bytes:
    """Pack one value, asking `default` about every object msgpack does not carry exactly.

    A packer costs 0.1 us to make, so none is shared and nothing has to be locked or reset.
    """
    return _new_packer(default=default, strict_types=True, buf_size=1024).pack(value)


def unpack(
    data: bytes,
    ext_hook: Callable[[int, bytes], object],
    mapping: Callable[[list[tuple[object, object]]], object],
) -> object:
    """Unpack exactly one value; raises whatever msgpack or a hook raises."""
    return _unpackb(
        data,
        ext_hook=ext_hook,
        object_pairs_hook=mapping,
        strict_map_key=False,
        timestamp=3,
    )
