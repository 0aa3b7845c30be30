"""Which classes the annotations of a function or a class mention."""

from __future__ import annotations

import functools
import inspect
import sys
import types
import typing
from typing import TYPE_CHECKING, Any, NamedTuple, cast

if TYPE_CHECKING:
    from collections.abc import Iterator


class Hint(NamedTuple):
    """One annotation, not yet resolved, and the names it may refer to."""

    annotation: object
    names: dict[str, object]


def hints_of(subject: object) -> Iterator[Hint]:
    """Yield the annotations of a callable's parameters and return value.

    Of a class: those of its constructor and of its attributes. Nothing is resolved here, so the
    annotations may mention what is not defined yet.
    """
    if isinstance(subject, functools.partial):
        subject = cast("functools.partial[object]", subject).func
    if isinstance(subject, type):
        for base in reversed(subject.__mro__):
            yield from _own_hints(base)
        subject = subject.__init__
    elif not hasattr(subject, "__annotations__") and callable(subject):
        subject = type(subject).__call__
    yield from _own_hints(inspect.unwrap(cast("Any", subject)))


def _own_hints(subject: object) -> Iterator[Hint]:
    annotations = _annotations(subject)
    if not annotations:
        return
    module = sys.modules.get(getattr(subject, "__module__", None) or "")
    # The module's own dictionary, not a copy: what it defines later must be found later.
    names: dict[str, object] = vars(module) if module else {}
    for annotation in annotations.values():
        yield Hint(annotation, getattr(subject, "__globals__", names))


def _annotations(subject: object) -> dict[str, object]:
    try:
        return inspect.get_annotations(cast("Any", subject))
    except Exception:  # a class may compute them; one that fails must not break others
        return {}


def resolve(hint: Hint) -> object:
    """Return the annotation with all names looked up; raises anything if one is missing."""
    holder = types.SimpleNamespace(__annotations__={"it": hint.annotation})
    resolved = typing.get_type_hints(holder, globalns=hint.names, include_extras=True)
    return resolved["it"]


def classes_in(annotation: object) -> Iterator[type]:
    """Yield the classes a resolved annotation mentions, at any depth of generics and unions."""
    pending = [annotation]
    while pending:
        item = pending.pop()
        if isinstance(item, (list, tuple)):
            pending.extend(cast("list[object]", item))
            continue
        origin = typing.get_origin(item)
        if origin is typing.Literal:
            continue
        if origin is typing.Annotated:
            pending.append(typing.get_args(item)[0])
        elif origin is not None:
            pending.append(origin)
            pending.extend(typing.get_args(item))
        elif isinstance(item, type):
            yield item
        else:
            pending.extend(_inner(item))


def _inner(item: object) -> Iterator[object]:
    """Yield what a NewType, a type alias or a type variable stands for."""
    for attribute in ("__supertype__", "__value__", "__bound__", "__constraints__"):
        if inner := getattr(item, attribute, None):
            yield inner
