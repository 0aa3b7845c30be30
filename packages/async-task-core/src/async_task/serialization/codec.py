"""Values to bytes and back, without losing their types."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, cast

from async_task.errors import DecodeError
from async_task.serialization import scalars, wire
from async_task.serialization.limits import Limits, check, is_array
from async_task.serialization.paths import explain, explain_arguments

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from async_task.serialization.hooks import ValueCodec
    from async_task.serialization.types import TypeRegistry

# The two levels `encode_arguments` puts around every argument.
_ARGUMENTS_DEPTH = 2
# Longest run of equal hashes; more only occurs in keys made to collide.
_MAX_COLLISIONS = 64
_SEQUENCES = {tuple: wire.TUPLE, set: wire.SET, frozenset: wire.FROZENSET}
_BUILDERS: dict[int, Callable[[list[Any]], object]] = {}


class Codec:
    """Encode and decode task arguments and results; see `wire` for the format.

    Exact types survive: None, bool, int up to 4096 bits, float, complex, str, bytes, list, tuple,
    dict with any encodable keys, set, frozenset, datetime, date, time, timedelta, Decimal, UUID,
    Path and pure paths, and registered Enum, dataclass, named tuple and pydantic classes, and what
    the value codecs carry. Subclass instances of str, int, float and bytes arrive as the plain
    type, bytearray and memoryview as bytes. Everything else is refused, including subclasses of
    the containers.

    A codec keeps no state between calls: any number of threads may share one.

    Args:
        types: The classes a payload may name.
        value_codecs: Asked in this order about values of other types.
        limits: Bounds of one encoded value, in both directions.
    """

    def __init__(
        self,
        types: TypeRegistry,
        value_codecs: Sequence[ValueCodec] = (),
        limits: Limits = Limits(),  # noqa: B008 (immutable)
    ) -> None:
        self._types = types
        self._value_codecs = {codec.tag: codec for codec in value_codecs}
        self.limits = limits

    def encode(self, value: object, root: str = "value") -> bytes:
        """Return `value` as bytes; `root` names it in errors.

        Raises:
            EncodeError: Some part has no wire form or the whole exceeds a limit; `path` says which.
        """
        try:
            return self._pack(value, 0)
        except Exception as error:
            raise explain(self, value, root, error) from error

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
            raise explain_arguments(self, args, kwargs, names, error) from error

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
        match self._unpack(data, _ARGUMENTS_DEPTH):
            case [list() as args, dict() as kwargs] if all(isinstance(k, str) for k in kwargs):
                return cast("list[object]", args), cast("dict[str, object]", kwargs)
            case _:
                raise DecodeError("the bytes are no task arguments")

    def _pack(self, value: object, outer_depth: int) -> bytes:
        data = _Packing(self, self.limits.max_depth + outer_depth).pack(value)
        check(data, self.limits, outer_depth)
        return data

    def _unpack(self, data: bytes, outer_depth: int) -> object:
        try:
            check(data, self.limits, outer_depth)
            return wire.unpack(data, self._extension, _mapping)
        except DecodeError:
            raise
        except Exception as error:
            raise DecodeError(f"not bytes of ours ({type(error).__name__})") from error

    def take_apart(self, value: object) -> tuple[int, list[object]] | None:
        """Return code and members of a value that travels as an extension with members.

        None if nothing here knows its type; any exception says why this value cannot travel.
        """
        kind = type(value)
        if code := _SEQUENCES.get(kind):
            return code, list(cast("Sequence[object]", value))
        for tag, codec in self._value_codecs.items():
            if codec.handles(value):
                return wire.CUSTOM, [tag, codec.encode(value)]
        if found := self._types.find_class(kind):
            name, shape = found
            return shape.code, [name, *shape.take(value)]
        return None

    def _extension(self, code: int, data: bytes) -> object:
        if decoder := scalars.DECODERS.get(code):
            try:
                return decoder(data)
            except Exception as error:
                raise DecodeError(f"malformed data of extension {code}") from error
        # Without an array each level would nest without costing what `check` counts.
        if code not in wire.CONTAINERS or not is_array(data):
            raise DecodeError(f"extension {code} is unknown or malformed")
        members = cast("list[object]", wire.unpack(data, self._extension, _mapping))
        match code:
            case wire.TUPLE:
                return tuple(members)
            case wire.SET | wire.FROZENSET:
                _refuse_collisions(members)
                unique = (set if code == wire.SET else frozenset)(members)
                if len(unique) != len(members):
                    raise DecodeError("a member of a set occurs twice")
                return unique
            case wire.CUSTOM:
                return self._decode_custom(members)
            case _:
                return self._build(code, members)

    def _decode_custom(self, members: list[object]) -> object:
        tag, data = members
        codec = self._value_codecs.get(cast("str", tag))
        if codec is None:
            raise DecodeError(f"no codec {tag!r:.80} here; install or pass the one that sent it")
        try:
            return codec.decode(data)
        except DecodeError:
            raise
        except Exception as error:
            raise DecodeError(f"codec {codec.tag!r} failed ({type(error).__name__})") from error

    def _build(self, code: int, members: list[object]) -> object:
        name = cast("str", members[0])
        found = self._types.find_name(name)
        if found is None:
            raise DecodeError(
                f"no class {name!r:.80} is registered here; annotate a parameter of the task with"
                f" it, or register_type(...)"
            )
        cls, shape = found
        if shape.code != code:
            raise DecodeError(f"{name!r:.80} is another kind of class here than where it was sent")
        try:
            return shape.build(members[1:])
        except DecodeError:
            raise
        except Exception as error:
            raise DecodeError(
                f"{cls.__qualname__} cannot be built ({type(error).__name__})"
            ) from error


class _Packing:
    """One call of the packer: knows how deep it is, so that a cycle ends."""

    __slots__ = ("_codec", "_levels")

    def __init__(self, codec: Codec, levels: int) -> None:
        self._codec = codec
        self._levels = levels

    def pack(self, value: object) -> bytes:
        return wire.pack(value, self._default)

    def _default(self, value: object) -> object:
        if scalar := scalars.ENCODERS.get(type(value)):
            code, encoder = scalar
            return wire.ext(code, encoder(value))
        parts = self._codec.take_apart(value)
        if parts is None:
            return scalars.plain(value)
        code, members = parts
        self._levels -= 1
        if self._levels < 0:
            raise ValueError("nested too deep")
        data = self.pack(members)
        self._levels += 1
        return wire.ext(code, data)


def _mapping(pairs: list[tuple[object, object]]) -> dict[object, object]:
    if len(pairs) > _MAX_COLLISIONS:
        _refuse_collisions([key for key, _ in pairs])
    result = dict(pairs)
    if len(result) != len(pairs):
        raise DecodeError("a key occurs twice in a dict")
    return result


def _refuse_collisions(keys: list[object]) -> None:
    """Refuse keys made to share a hash, which would take quadratic time to insert.

    Hashes of numbers, UUIDs and tuples are not randomised, so anyone can choose them: 58,000 UUIDs
    of one hash fit into 1 MiB and would take minutes.
    """
    if len(keys) > _MAX_COLLISIONS:
        (_, most), *_ = Counter(map(hash, keys)).most_common(1)
        if most > _MAX_COLLISIONS:
            raise DecodeError(f"{most} keys share one hash")
