"""Where in a value the part sits that cannot be encoded; the slow pass after a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from async_task.errors import EncodeError
from async_task.serialization import scalars, wire

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from async_task.serialization.codec import Codec

def explain(codec: Codec, value: object, root: str, error: Exception) -> EncodeError:
    """Return the error that says which part of `value` failed, or else that all of it did."""
    found = _search(codec, value, root, ())
    return found or EncodeError(f"{root} cannot be encoded: {error}", path=root)


def explain_arguments(
    codec: Codec,
    args: Sequence[object],
    kwargs: Mapping[str, object],
    names: Sequence[str],
    error: Exception,
) -> EncodeError:
    """Return the error that says which argument failed, and which part of it."""
    roots = [*names[: len(args)], *(f"args[{i}]" for i in range(len(names), len(args)))]
    for root, value in [*zip(roots, args, strict=True), *kwargs.items()]:
        if found := _search(codec, value, root, ()):
            return found
    return EncodeError(f"the arguments cannot be encoded: {error}", path="args")


def _search(
    codec: Codec, value: object, path: str, parents: tuple[int, ...]
) -> EncodeError | None:
    if id(value) in parents:
        return EncodeError(f"{path} contains itself; send a value without cycles", path=path)
    if len(parents) > codec.limits.max_depth:
        return EncodeError(
            f"{path} is nested deeper than {codec.limits.max_depth} levels; flatten it", path=path
        )
    try:
        parts = list(_parts(codec, value, path))
    except Exception as error:
        return EncodeError(_message(value, path, error), path=path)
    for part, part_path in parts:
        if found := _search(codec, part, part_path, (*parents, id(value))):
            return found
    return None


def _parts(codec: Codec, value: object, path: str) -> Iterator[tuple[object, str]]:
    """Yield members with their paths; raises what the packer would about `value` itself."""
    kind = type(value)
    if kind is list:
        for index, item in enumerate(cast("list[object]", value)):
            yield item, f"{path}[{index}]"
    elif kind is dict:
        for key, item in cast("dict[object, object]", value).items():
            yield key, f"{path}.keys()"
            yield item, f"{path}[{_key(key)}]"
    elif kind in scalars.ENCODERS:
        scalars.ENCODERS[kind][1](value)
    elif kind in _PLAIN:
        wire.pack(value, lambda _: None)
    else:
        yield from _members(codec, value, path)


_PLAIN = {type(None), bool, int, float, str, bytes, bytearray, memoryview}


def _members(codec: Codec, value: object, path: str) -> Iterator[tuple[object, str]]:
    parts = codec.take_apart(value)
    if parts is None:
        yield scalars.plain(value), path
        return
    code, members = parts
    if code == wire.TUPLE:
        for index, item in enumerate(members):
            yield item, f"{path}[{index}]"
    elif code in (wire.SET, wire.FROZENSET):
        for item in members:
            yield item, f"{path}{{}}"
    elif code == wire.CUSTOM:
        yield members[1], path
    elif code in (wire.OBJECT, wire.MODEL):
        fields = members[2:] if code == wire.MODEL else members[1:]
        for name, item in zip(fields[::2], fields[1::2], strict=True):
            yield item, f"{path}.{name}"


def _key(key: object) -> str:
    if isinstance(key, (str, int)):
        return f"{key!r:.40}"
    return f"<{type(key).__qualname__}>"


def _message(value: object, path: str, error: Exception) -> str:
    kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    return f"{path} is a {kind}: {error}"
