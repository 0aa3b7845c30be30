"""What a decoder accepts, checked on the bytes before anything is built."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from async_task.errors import DecodeError
from async_task.serialization import wire


@dataclass(frozen=True)
class Limits:
    """Bounds of one encoded value, the same in both directions.

    What `encode` accepts, `decode` accepts under the same limits (but for sets and dicts in which
    more than 64 keys share one hash, which `decode` takes for an attack).

    Attributes:
        max_bytes: Longest encoding. 1 MiB: the largest message Amazon SQS takes, and far above a
            payload that belongs into a queue.
        max_depth: Deepest nesting of containers; `[[1]]` is 2. 32: no hand-written argument comes
            near, and every recursion over a decoded value stays far from the interpreter's limit.
        max_items: Most values in total: containers, their members, keys and class names. 100,000:
            1 MiB of empty maps (a million values) took 83 MB when decoded, this many take 9 MB.
    """

    max_bytes: int = 1_048_576
    max_depth: int = 32
    max_items: int = 100_000


def check(data: bytes, limits: Limits, outer_depth: int = 0) -> None:
    """Raise `DecodeError` unless `data` is one complete value within `limits`.

    A body of n bytes holds at most n values, and nests at most as deep as it has bytes that could
    be an array or map header: 0.5 us clear most small bodies. Others cost a pass of about 0.1 us
    per value, strings and bytes of any length being one.

    Args:
        data: One encoded value.
        limits: What to accept.
        outer_depth: Levels that do not count towards `max_depth`.
    """
    if len(data) > limits.max_bytes:
        raise DecodeError(f"{len(data)} bytes, the limit is {limits.max_bytes}")
    depth = limits.max_depth + outer_depth
    if len(data) <= depth and len(data) <= limits.max_items:  # too short to be too much
        return
    if len(data) <= limits.max_items and len(data.translate(None, _NOT_HEADERS)) <= depth:
        return
    try:
        _scan(data, depth, limits.max_items)
    except IndexError:
        raise DecodeError("the bytes end in the middle of a value") from None


_NOT_HEADERS: Final = bytes(b for b in range(256) if not (0x80 <= b <= 0x9F or 0xDC <= b <= 0xDF))
_ARRAY_HEADERS: Final = frozenset([*range(0x90, 0xA0), 0xDC, 0xDD])


def is_array(data: bytes) -> bool:
    """Return whether the first value in `data` is an array."""
    return data[:1] != b"" and data[0] in _ARRAY_HEADERS


def _sizes() -> list[int]:
    """Return by first byte: the length of a value; -1 - n for n members; 0 if it does not tell."""
    sizes = [1] * 256
    for byte in range(0x80, 0x90):
        sizes[byte] = -1 - 2 * (byte & 0x0F)
    for byte in range(0x90, 0xA0):
        sizes[byte] = -1 - (byte & 0x0F)
    for byte in range(0xA0, 0xC0):
        sizes[byte] = 1 + (byte & 0x1F)
    for byte in (*range(0xC4, 0xCA), *range(0xD4, 0xE0)):
        sizes[byte] = 0
    for byte, width in ((0xCA, 4), (0xCB, 8), (0xCC, 1), (0xCD, 2), (0xCE, 4), (0xCF, 8)):
        sizes[byte] = 1 + width
    for byte, width in ((0xD0, 1), (0xD1, 2), (0xD2, 4), (0xD3, 8)):
        sizes[byte] = 1 + width
    return sizes


_SIZES: Final = _sizes()
# First byte -> width of the length field, for strings and bytes, extensions, arrays and maps.
_BLOBS: Final = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_EXTS: Final = {0xC7: 1, 0xC8: 2, 0xC9: 4}
_FIXED_EXTS: Final = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
_ARRAYS: Final = {0xDC: 2, 0xDD: 4}
_MAPS: Final = {0xDE: 2, 0xDF: 4}


def _number(data: bytes, start: int, width: int) -> int:
    return int.from_bytes(data[start : start + width], "big")


def _ext(data: bytes, pos: int) -> tuple[int, int, int]:
    """Return code, start and end of the data of the extension at `pos`."""
    byte = data[pos]
    if byte in _FIXED_EXTS:
        start = pos + 2
        return data[pos + 1], start, start + _FIXED_EXTS[byte]
    width = _EXTS[byte]
    start = pos + 2 + width
    return data[pos + 1 + width], start, start + _number(data, pos + 1, width)


def _members(data: bytes, pos: int) -> tuple[int, int]:
    """Return the number of members of the array or map at `pos` and where the first starts."""
    byte = data[pos]
    if byte < 0x90:
        return 2 * (byte & 0x0F), pos + 1
    if byte < 0xA0:
        return byte & 0x0F, pos + 1
    if byte in _ARRAYS:
        width = _ARRAYS[byte]
        return _number(data, pos + 1, width), pos + 1 + width
    width = _MAPS[byte]
    return 2 * _number(data, pos + 1, width), pos + 1 + width


def _open(data: bytes, pos: int) -> tuple[int, int, int]:
    """Enter the value at `pos`, whose first byte does not tell its length.

    Returns:
        Its number of members, or -1 if it has none and was skipped; the position after that; and
        the end of the extension around the members, or -1.
    """
    byte = data[pos]
    if byte in _BLOBS:
        width = _BLOBS[byte]
        return -1, pos + 1 + width + _number(data, pos + 1, width), -1
    if byte not in _EXTS and byte not in _FIXED_EXTS:
        return *_members(data, pos), -1
    code, start, end = _ext(data, pos)
    if code not in wire.CONTAINERS:
        return -1, end, -1
    if not is_array(data[start : start + 1]):
        raise DecodeError(f"extension {code} does not hold an array")
    return *_members(data, start), end


def _scan(data: bytes, max_depth: int, max_items: int) -> None:
    """Walk over all values, entering extensions that hold an array."""
    sizes = _SIZES
    pos, left, end, items = 0, 1, -1, 1
    outside: list[tuple[int, int]] = []  # `left` and `end` of each container around this one
    while True:
        for rest in range(left - 1, -1, -1):
            size = sizes[data[pos]]
            if size > 0:
                pos += size
                continue
            if size < 0:
                members, pos, inner_end = -1 - size, pos + 1, -1
            else:
                members, pos, inner_end = _open(data, pos)
                if members < 0:
                    continue
            outside.append((rest, end))
            left, end, items = members, inner_end, items + members
            break
        else:
            if end not in (-1, pos):
                raise DecodeError("the length of an extension does not match what it holds")
            if not outside:
                break
            left, end = outside.pop()
            continue
        if len(outside) > max_depth or items > max_items:
            raise DecodeError(f"deeper than {max_depth} levels or more than {max_items} values")
    if pos != len(data):
        raise DecodeError("the bytes are not exactly one value")
