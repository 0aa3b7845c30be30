"""Plain msgpack for core's own small records: headers and histories, no user's values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import msgpack

if TYPE_CHECKING:
    from collections.abc import Callable

_new_packer = cast("Callable[..., Any]", cast("Any", msgpack).Packer)
_unpackb = cast("Callable[..., Any]", cast("Any", msgpack).unpackb)

_Unpack = cast("type[Exception]", cast("Any", msgpack).UnpackException)

UNREADABLE: Final = (ValueError, TypeError, IndexError, KeyError, _Unpack)
"""What reading foreign bytes, and taking apart what was read, may raise."""


def pack_plain(value: object) -> bytes:
    """Pack None, bool, int, float, str, bytes, list and tuple; lone surrogates become '?'."""
    # packb() would begin with a buffer of 256 KiB: 0.63 us instead of 0.25.
    packed: bytes = _new_packer(unicode_errors="replace", buf_size=1024).pack(value)
    return packed


def unpack_plain(data: bytes) -> Any:
    """Unpack; raises one of `UNREADABLE` for anything that is not plain msgpack."""
    return _unpackb(data, max_ext_len=0)
