"""Types without members that msgpack does not carry exactly."""

from __future__ import annotations

import re
import struct
import zoneinfo
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Final, cast
from uuid import UUID

from async_task.serialization import wire
from async_task.serialization.shapes import shape_of

if TYPE_CHECKING:
    from collections.abc import Callable

# Decoding a longer number takes quadratic time in whatever prints it. 4096 bits hold RSA keys.
MAX_INT_BITS: Final = 4096
# Exponents of IEEE 754 decimal128; `int(Decimal("1E+999999999"))` would fill the memory.
MAX_DECIMAL_EXPONENT: Final = 6176
MAX_DECIMAL_DIGITS: Final = 1000

_DATETIME: Final = struct.Struct(">HBBBBBIB")
_DATE: Final = struct.Struct(">HBB")
_TIME: Final = struct.Struct(">BBBIB")
_TIMEDELTA: Final = struct.Struct(">iii")
_OFFSET: Final = struct.Struct(">q")
_COMPLEX: Final = struct.Struct(">dd")
_MICROSECOND: Final = timedelta(microseconds=1)
_ZONE_KEY: Final = re.compile(r"[A-Za-z0-9_+-]{1,32}(/[A-Za-z0-9_+-]{1,32}){0,3}", re.ASCII)


def _encode_zone(zone: tzinfo | None) -> bytes:
    if zone is None:
        return b""
    if zone is UTC:
        return b"\0"
    if type(zone) is timezone:
        offset = zone.utcoffset(None)
        name = zone.tzname(None)
        own_name = "" if name == timezone(offset).tzname(None) else name
        return b"\1" + _OFFSET.pack(offset // _MICROSECOND) + own_name.encode()
    if type(zone) is zoneinfo.ZoneInfo and zone.key and _ZONE_KEY.fullmatch(zone.key):
        return b"\2" + zone.key.encode()
    kind = type(zone)
    raise ValueError(
        f"its time zone is a {kind.__module__}.{kind.__qualname__}, which has no stable name;"
        f" use zoneinfo.ZoneInfo(key) or datetime.timezone"
    )


def _decode_zone(data: bytes) -> tzinfo | None:
    if not data:
        return None
    kind, rest = data[0], data[1:]
    if kind == 0 and not rest:
        return UTC
    if kind == 1:
        offset = timedelta(microseconds=_OFFSET.unpack(rest[:8])[0])
        name = rest[8:].decode()
        return timezone(offset, name) if name else timezone(offset)
    key = rest.decode()
    if kind != 2 or not _ZONE_KEY.fullmatch(key):
        raise ValueError("not a time zone")
    return zoneinfo.ZoneInfo(key)


def _encode_int(value: int) -> bytes:
    if value.bit_length() > MAX_INT_BITS:
        raise ValueError(f"it has {value.bit_length()} bits, the limit is {MAX_INT_BITS}")
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


def _decode_int(data: bytes) -> int:
    value = int.from_bytes(data[: MAX_INT_BITS // 8 + 2], "big", signed=True)
    if _encode_int(value) != data:
        raise ValueError("not the shortest form of an integer")
    return value


def _encode_datetime(value: datetime) -> bytes:
    return _DATETIME.pack(
        value.year,
        value.month,
        value.day,
        value.hour,
        value.minute,
        value.second,
        value.microsecond,
        value.fold,
    ) + _encode_zone(value.tzinfo)


def _decode_datetime(data: bytes) -> datetime:
    year, month, day, hour, minute, second, microsecond, fold = _DATETIME.unpack_from(data)
    zone = _decode_zone(data[_DATETIME.size :])
    return datetime(year, month, day, hour, minute, second, microsecond, zone, fold=fold)


def _encode_time(value: time) -> bytes:
    fields = (value.hour, value.minute, value.second, value.microsecond, value.fold)
    return _TIME.pack(*fields) + _encode_zone(value.tzinfo)


def _decode_time(data: bytes) -> time:
    hour, minute, second, microsecond, fold = _TIME.unpack_from(data)
    return time(hour, minute, second, microsecond, _decode_zone(data[_TIME.size :]), fold=fold)


def _encode_date(value: date) -> bytes:
    return _DATE.pack(value.year, value.month, value.day)


def _decode_date(data: bytes) -> date:
    return date(*_DATE.unpack(data))


def _encode_timedelta(value: timedelta) -> bytes:
    return _TIMEDELTA.pack(value.days, value.seconds, value.microseconds)


def _decode_timedelta(data: bytes) -> timedelta:
    return timedelta(*_TIMEDELTA.unpack(data))


def _encode_decimal(value: Decimal) -> bytes:
    text = str(value).encode()
    _check_decimal(value, text)
    return text


def _decode_decimal(data: bytes) -> Decimal:
    value = Decimal(data[: MAX_DECIMAL_DIGITS + 17].decode("ascii"))
    _check_decimal(value, data)
    return value


def _check_decimal(value: Decimal, text: bytes) -> None:
    # 16 beyond the digits: sign, point, exponent, and the leading zeros of "0.000001".
    if len(text) > MAX_DECIMAL_DIGITS + 16:
        raise ValueError(f"it has more than {MAX_DECIMAL_DIGITS} digits")
    if abs(value.adjusted()) > MAX_DECIMAL_EXPONENT:
        raise ValueError(f"its exponent exceeds {MAX_DECIMAL_EXPONENT}")


def _encode_uuid(value: UUID) -> bytes:
    return value.bytes


def _decode_uuid(data: bytes) -> UUID:
    return UUID(bytes=data)


_FLAVOURS: Final[list[type[PurePath]]] = [Path, PurePosixPath, PureWindowsPath]
_LOCAL_PATH: Final = type(Path())


def _encode_path(value: PurePath) -> bytes:
    flavour = 0 if isinstance(value, Path) else _FLAVOURS.index(type(value))
    # File names need not be valid UTF-8; Python holds their odd bytes as lone surrogates.
    return bytes([flavour]) + str(value).encode(errors="surrogatepass")


def _decode_path(data: bytes) -> PurePath:
    return _FLAVOURS[data[0]](data[1:].decode(errors="surrogatepass"))


def _encode_complex(value: complex) -> bytes:
    return _COMPLEX.pack(value.real, value.imag)


def _decode_complex(data: bytes) -> complex:
    return complex(*_COMPLEX.unpack(data))


# Python type -> extension code and encoder of its data; raises ValueError with the reason.
ENCODERS: Final = cast(
    "dict[type, tuple[int, Callable[[object], bytes]]]",
    {
        int: (wire.INT, _encode_int),
        complex: (wire.COMPLEX, _encode_complex),
        datetime: (wire.DATETIME, _encode_datetime),
        date: (wire.DATE, _encode_date),
        time: (wire.TIME, _encode_time),
        timedelta: (wire.TIMEDELTA, _encode_timedelta),
        Decimal: (wire.DECIMAL, _encode_decimal),
        UUID: (wire.UUID, _encode_uuid),
        _LOCAL_PATH: (wire.PATH, _encode_path),
        PurePosixPath: (wire.PATH, _encode_path),
        PureWindowsPath: (wire.PATH, _encode_path),
    },
)

# Extension code -> decoder of its data; raises anything on malformed data.
DECODERS: Final[dict[int, Callable[[bytes], object]]] = {
    wire.INT: _decode_int,
    wire.COMPLEX: _decode_complex,
    wire.DATETIME: _decode_datetime,
    wire.DATE: _decode_date,
    wire.TIME: _decode_time,
    wire.TIMEDELTA: _decode_timedelta,
    wire.DECIMAL: _decode_decimal,
    wire.UUID: _decode_uuid,
    wire.PATH: _decode_path,
}


def plain(value: object) -> str | int | float | bytes:
    """Return the plain value of a subclass instance of str, int, float or bytes.

    Raises:
        TypeError: It is none of these, or a member of an Enum; the text says what to do.
    """
    kind = type(value)
    if shape_of(kind):
        raise TypeError(
            "its class is not registered; annotate a parameter of the task with it, or pass it"
            " to register_type(...)"
        )
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__index__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, bytes):
        return bytes(memoryview(value))
    for base in (*ENCODERS, list, tuple, dict, set, frozenset):
        if issubclass(kind, base):
            raise TypeError(f"only a plain {base.__name__} keeps its type; convert it")
    raise TypeError(
        "no such type travels; convert it, send what identifies it, or register a ValueCodec"
    )
