"""Values with members that msgpack does not carry: to a code and a list, and back from bytes."""

from __future__ import annotations

import copy
from collections import Counter
from typing import TYPE_CHECKING, Final, Self, cast

from async_task.errors import ConfigurationError, DecodeError
from async_task.serialization import scalars, wire
from async_task.serialization.hooks import ReferenceCodec
from async_task.serialization.limits import is_array

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    from async_task.serialization.hooks import ValueCodec
    from async_task.serialization.types import TypeRegistry

# Insertion takes time quadratic in the number of keys of one hash. Floats reach 34 honestly (the
# powers of two); with 64, the worst 1 MiB takes 0.7 s.
_MAX_COLLISIONS: Final = 64
_SEQUENCES: Final[dict[type, int]] = {
    tuple: wire.TUPLE,
    set: wire.SET,
    frozenset: wire.FROZENSET,
}


class Extensions:
    """Knows every value with members beyond list and dict.

    Args:
        types: The classes a payload may name.
        value_codecs: Asked in this order, before `types`.

    Raises:
        ConfigurationError: Two value codecs have one tag.
    """

    def __init__(self, types: TypeRegistry, value_codecs: Sequence[ValueCodec]) -> None:
        self._types = types
        self._value_codecs = {codec.tag: codec for codec in value_codecs}
        if len(self._value_codecs) != len(value_codecs):
            raise ConfigurationError(
                f"two value codecs have one tag: {', '.join(c.tag for c in value_codecs)}"
            )
        self.reference_codecs = {
            codec.tag: codec for codec in value_codecs if isinstance(codec, ReferenceCodec)
        }
        self._found: Mapping[str, Mapping[Hashable, object]] = {}

    def take_apart(self, value: object) -> tuple[int, list[object]] | None:
        """Return code and members of `value`, or None if nothing here knows its type.

        Any exception says why this value cannot travel.
        """
        kind = type(value)
        if code := _SEQUENCES.get(kind):
            return code, list(cast("Iterable[object]", value))
        for tag, codec in self._value_codecs.items():
            if codec.handles(value):
                return wire.CUSTOM, [tag, codec.encode(value)]
        if found := self._types.find_class(kind):
            name, shape = found
            return shape.code, [name, *shape.take(value)]
        return None

    def unpack(self, data: bytes) -> object:
        """Return the one value in `data`, which `limits.check` has cleared.

        Raises anything on malformed data; `DecodeError` where there is more to say.
        """
        return wire.unpack(data, self._restore, _mapping)

    def references(self, data: bytes) -> dict[str, dict[Hashable, None]]:
        """Return the distinct references in `data`, by tag, in order; builds nothing else.

        As `unpack`: of cleared data, and raises anything.
        """
        found: dict[str, dict[Hashable, None]] = {}

        def look(code: int, data: bytes) -> object:
            if code not in wire.CONTAINERS or not is_array(data):
                return None
            members = cast("list[object]", wire.unpack(data, look, list))
            tag = members[0] if code == wire.CUSTOM and members else None
            if isinstance(tag, str) and tag in self.reference_codecs:
                found.setdefault(tag, {})[self._restore(code, data)] = None
            return None

        wire.unpack(data, look, list)
        return found

    def resolving(self, found: Mapping[str, Mapping[Hashable, object]]) -> Self:
        """Return the like of this that puts values in the place of references."""
        resolving = copy.copy(self)
        resolving._found = found  # noqa: SLF001 - of this class
        return resolving

    def _restore(self, code: int, data: bytes) -> object:
        if decoder := scalars.DECODERS.get(code):
            try:
                return decoder(data)
            except Exception as error:
                raise DecodeError(f"malformed data of extension {code}") from error
        # Without an array each level would nest without costing what `limits.check` counts.
        if code not in wire.CONTAINERS or not is_array(data):
            raise DecodeError(f"extension {code} is unknown or malformed")
        members = cast("list[object]", self.unpack(data))
        match code:
            case wire.TUPLE:
                return tuple(members)
            case wire.SET:
                return set(_distinct(members))
            case wire.FROZENSET:
                return frozenset(_distinct(members))
            case wire.CUSTOM:
                return self._decode_custom(members)
            case _:
                return self._build(code, members)

    def _decode_custom(self, members: list[object]) -> object:
        tag, data = members
        codec = self._value_codecs.get(cast("str", tag))
        if codec is None:
            raise DecodeError(f"no value codec {tag!r:.80} is installed here; the sender has it")
        try:
            value = codec.decode(data)
            found = self._found.get(codec.tag)
            return value if found is None else found[value]
        except DecodeError:
            raise
        except Exception as error:
            reason = type(error).__name__
            raise DecodeError(f"value codec {codec.tag!r} failed ({reason})") from error

    def _build(self, code: int, members: list[object]) -> object:
        name, *state = members
        found = self._types.find_name(cast("str", name))
        if found is None:
            raise DecodeError(
                f"no class {name!r:.200} is registered here; annotate a parameter of the task with"
                f" it, or pass it to register_type(...)"
            )
        cls, shape = found
        if shape.code != code:
            raise DecodeError(f"{name!r:.200} is another kind of class here than at the sender")
        try:
            return shape.build(state)
        except DecodeError:
            raise
        except Exception as error:
            reason = type(error).__name__
            raise DecodeError(f"{cls.__qualname__} cannot be built ({reason})") from error


def _mapping(pairs: list[tuple[object, object]]) -> dict[object, object]:
    if len(pairs) > _MAX_COLLISIONS:
        _refuse_collisions(key for key, _ in pairs)
    result = dict(pairs)
    if len(result) != len(pairs):
        raise DecodeError("a key occurs twice in a dict")
    return result


def _distinct(members: list[object]) -> list[object]:
    if len(members) > _MAX_COLLISIONS:
        _refuse_collisions(members)
    if len(set(members)) != len(members):
        raise DecodeError("a member occurs twice in a set")
    return members


def _refuse_collisions(keys: Iterable[object]) -> None:
    """Refuse keys made to share a hash.

    Hashes of numbers, UUIDs and tuples are not randomised, so anyone can choose them: 58,000 UUIDs
    of one hash fit into 1 MiB and would take minutes to insert.
    """
    if max(Counter(map(hash, keys)).values()) > _MAX_COLLISIONS:
        raise DecodeError(f"more than {_MAX_COLLISIONS} keys share one hash")
