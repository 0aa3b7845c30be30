"""Values to bytes and back, without losing their types."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Final, Self, TypeVar, cast

from async_task.errors import DecodeError
from async_task.serialization import scalars, wire
from async_task.serialization.extensions import Extensions
from async_task.serialization.limits import Limits, check
from async_task.serialization.paths import Explainer

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from async_task.serialization.hooks import ReferenceCodec, ValueCodec
    from async_task.serialization.types import TypeRegistry

# The list of both and the list or dict of one side, which `encode_arguments` puts around values.
_ARGUMENTS_DEPTH: Final = 2
_DEFAULT_LIMITS: Final = Limits()
# First bytes of a list of two and of an empty dict.
_PAIR: Final = 0x92
_EMPTY_MAP: Final = 0x80

T = TypeVar("T")


class Codec:
    """Encode and decode task arguments and results; `wire` describes the format.

    Exact types survive: None, bool, int up to 4096 bits, float, complex, str, bytes, list, tuple,
    dict with any encodable keys, set, frozenset, datetime, date, time, timedelta, Decimal, UUID,
    `Path` and pure paths, registered Enum, dataclass, named tuple and pydantic classes, and what
    the value codecs carry. Instances of subclasses of str, int, float and bytes arrive as the plain
    type; bytearray and memoryview, which msgpack takes for bytes, as bytes. Everything else is
    refused, subclasses of the other types included. (msgpack's own `ExtType` and `Timestamp` are
    not values: it takes them unseen.)

    A codec keeps no state between calls: any number of threads may share one.

    Args:
        types: The classes a payload may name.
        value_codecs: Asked in this order about values that are not of a built-in type.
        limits: Bounds of one encoded value, in both directions.

    Raises:
        ConfigurationError: Two value codecs have one tag.
    """

    def __init__(
        self,
        types: TypeRegistry,
        value_codecs: Sequence[ValueCodec] = (),
        limits: Limits = _DEFAULT_LIMITS,
    ) -> None:
        self._extensions = Extensions(types, value_codecs)
        self._limits = limits
        self._marks = [tag.encode() for tag in self._extensions.reference_codecs]

    @property
    def reference_codecs(self) -> Mapping[str, ReferenceCodec]:
        """The codecs whose values are fetched before they are used, by tag."""
        return self._extensions.reference_codecs

    def encode(self, value: object, root: str = "value") -> bytes:
        """Return `value` as bytes; `root` names it in errors.

        Raises:
            EncodeError: Some part has no wire form or the whole exceeds a limit; `path` says which.
        """
        try:
            return self._pack(value, 0)
        except Exception as error:
            raise self._explainer().explain({root: value}, error) from error

    def encode_arguments(
        self, args: Sequence[object], kwargs: Mapping[str, object], names: Sequence[str] = ()
    ) -> bytes:
        """Return the arguments of one call as bytes.

        Args:
            args: Positional arguments.
            kwargs: Keyword arguments.
            names: Parameter names of the positional arguments, as far as known, for errors.

        Raises:
            EncodeError: As `encode`; the path starts with the name of the parameter.
        """
        try:
            return self._pack([list(args), dict(kwargs)], _ARGUMENTS_DEPTH)
        except Exception as error:
            roots = [*names[: len(args)], *(f"args[{i}]" for i in range(len(names), len(args)))]
            arguments = dict(zip(roots, args, strict=True)) | dict(kwargs)
            raise self._explainer().explain(arguments, error) from error

    def decode(self, data: bytes) -> object:
        """Return the value `encode` was given.

        Raises:
            DecodeError: Whatever is wrong with `data`. No other error, for any input.
        """
        return self._unpack(data, 0)

    def decode_arguments(self, data: bytes) -> tuple[list[object], dict[str, object]]:
        """Return what `encode_arguments` was given.

        Raises:
            DecodeError: Whatever is wrong with `data`. No other error, for any input.
        """
        check(data, self._limits, _ARGUMENTS_DEPTH)
        try:
            # Without keywords, a list and an empty map. No value is the beginning of another, so if
            # all between the first byte and the last is one, that is what it is; to take the map
            # through its hook as well costs 0.3 us more, of 0.8.
            if data[0] == _PAIR and data[-1] == _EMPTY_MAP:
                args = self._extensions.unpack(data[1:-1])
                if type(args) is list:
                    return cast("list[object]", args), {}
        except Exception:  # noqa: S110 - it is said below what is wrong
            pass
        value = self._read(self._extensions.unpack, data)
        parts = cast("list[object]", value) if type(value) is list else []
        if len(parts) == 2 and type(parts[0]) is list and type(parts[1]) is dict:
            args, kwargs = cast("tuple[list[object], dict[str, object]]", parts)
            if not kwargs or all(type(name) is str for name in kwargs):
                return args, kwargs
        raise DecodeError("the bytes are a value, but no task arguments")

    def refers(self, data: bytes) -> bool:
        """Return whether there may be references in `data`; costs 0.1 us where there are none."""
        if not self._marks or wire.CUSTOM not in data:  # the byte that every one of them has
            return False
        return any(mark in data for mark in self._marks)

    def references(self, data: bytes) -> dict[str, dict[Hashable, None]]:
        """Return the distinct references in a value or in arguments, by tag, in order.

        Costs about as much as decoding, of which it builds nothing else.

        Raises:
            DecodeError: Whatever is wrong with `data`. No other error, for any input.
        """
        check(data, self._limits, _ARGUMENTS_DEPTH)
        return self._read(self._extensions.references, data)

    def resolving(self, found: Mapping[str, Mapping[Hashable, object]]) -> Self:
        """Return the like of this codec that decodes references to values.

        Args:
            found: By tag, the value of every reference in what is to be decoded.
        """
        resolving = copy.copy(self)
        resolving._extensions = self._extensions.resolving(found)  # noqa: SLF001 - of this class
        return resolving

    def _pack(self, value: object, outer_depth: int) -> bytes:
        data = _Packing(self._extensions, self._limits.max_depth + outer_depth).pack(value)
        check(data, self._limits, outer_depth)
        return data

    def _unpack(self, data: bytes, outer_depth: int) -> object:
        check(data, self._limits, outer_depth)
        return self._read(self._extensions.unpack, data)

    def _read(self, read: Callable[[bytes], T], data: bytes) -> T:
        try:
            return read(data)
        except DecodeError:
            raise
        except Exception as error:
            raise DecodeError(f"the bytes are no value ({type(error).__name__})") from error

    def _explainer(self) -> Explainer:
        return Explainer(self._extensions, self._limits, self._size)

    def _size(self, value: object) -> int:
        return len(_Packing(self._extensions, self._limits.max_depth).pack(value))


class _Packing:
    """One run of the packer: counts the levels it is in, so that a cycle ends."""

    __slots__ = ("_extensions", "_levels")

    def __init__(self, extensions: Extensions, levels: int) -> None:
        self._extensions = extensions
        self._levels = levels

    def pack(self, value: object) -> bytes:
        return wire.pack(value, self._default)

    def _default(self, value: object) -> object:
        if scalar := scalars.ENCODERS.get(type(value)):
            code, encode = scalar
            return wire.ext(code, encode(value))
        parts = self._extensions.take_apart(value)
        if parts is None:
            plain = scalars.plain(value)
            # The packer asks only once about a value, so a big int has to be finished here.
            big = type(plain) is int and plain.bit_length() >= 64
            return self._default(plain) if big else plain
        code, members = parts
        self._levels -= 1
        if self._levels < 0:
            raise ValueError("nested too deep")
        data = self.pack(members)
        self._levels += 1
        return wire.ext(code, data)
