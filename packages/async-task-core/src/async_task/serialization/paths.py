"""Find what in a value cannot be encoded: the slow pass after a failure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from async_task.errors import DecodeError, EncodeError
from async_task.serialization import scalars, wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from async_task.serialization.extensions import Extensions
    from async_task.serialization.limits import Limits


@dataclass(frozen=True)
class Explainer:
    """Turns the failure of the packer into an error that names the place.

    Attributes:
        extensions: Takes values apart as the packer does.
        limits: What the value had to fit.
        size: Encoded size of a value in bytes, whether it fits the limits or not.
    """

    extensions: Extensions
    limits: Limits
    size: Callable[[object], int]

    def explain(self, roots: Mapping[str, object], error: Exception) -> EncodeError:
        """Return the error for the first bad part of `roots`, or for the largest one.

        Args:
            roots: Name -> value of everything that was to be encoded.
            error: What stopped it; a `DecodeError` if the result as a whole exceeds a limit.
        """
        for path, value in roots.items():
            if found := self._search(value, path, ()):
                return found
        if not isinstance(error, DecodeError):
            return EncodeError(f"cannot encode: {error!r}", path=next(iter(roots), ""))
        path = max(roots, key=lambda root: self.size(roots[root]), default="")
        remedy = f"{path} is the largest part: store it elsewhere and send where it is"
        return EncodeError(f"{error}; {remedy}", path=path)

    def _search(self, value: object, path: str, parents: tuple[int, ...]) -> EncodeError | None:
        if id(value) in parents:
            return EncodeError(f"{path} contains itself; send a value without cycles", path=path)
        try:
            parts = list(self._parts(value, path))
        except Exception as error:
            kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
            return EncodeError(f"{path} is a {kind}: {_reason(error)}", path=path)
        depth = self.limits.max_depth
        if len(parents) == depth and (parts or isinstance(value, _CONTAINERS)):
            message = f"{path} is nested deeper than {depth} levels; flatten it"
            return EncodeError(message, path=path)
        for part, part_path in parts:
            if found := self._search(part, part_path, (*parents, id(value))):
                return found
        return None

    def _parts(self, value: object, path: str) -> Iterator[tuple[object, str]]:
        """Yield members with their paths; raises what the packer would about `value` itself."""
        kind = type(value)
        if kind is list:
            for index, item in enumerate(cast("list[object]", value)):
                yield item, f"{path}[{index}]"
        elif kind is dict:
            for key, item in cast("dict[object, object]", value).items():
                yield key, f"{path}.keys()"
                yield item, f"{path}[{_key(key)}]"
        elif scalar := scalars.ENCODERS.get(kind):
            scalar[1](value)
        elif kind is str:
            cast("str", value).encode()
        elif kind not in _ALWAYS_FINE:
            yield from self._members(value, path)

    def _members(self, value: object, path: str) -> Iterator[tuple[object, str]]:
        parts = self.extensions.take_apart(value)
        if parts is None:
            yield from self._parts(scalars.plain(value), path)
            return
        code, members = parts
        match code:
            case wire.TUPLE:
                for index, item in enumerate(members):
                    yield item, f"{path}[{index}]"
            case wire.CUSTOM:
                yield members[1], path
            case wire.OBJECT | wire.MODEL:
                fields = members[2 if code == wire.MODEL else 1 :]
                for name, item in zip(fields[::2], fields[1::2], strict=True):
                    yield item, f"{path}.{name}"
            case _:
                for item in members:
                    yield item, f"{path}{{}}"


_CONTAINERS = (list, dict, tuple, set, frozenset)
_ALWAYS_FINE = (type(None), bool, float, bytes, bytearray, memoryview)


def _key(key: object) -> str:
    return f"{key!r:.40}" if isinstance(key, (str, int)) else f"<{type(key).__qualname__}>"


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeEncodeError):
        return f"it has a lone surrogate at index {error.start}; send bytes instead"
    return str(error) or type(error).__name__
