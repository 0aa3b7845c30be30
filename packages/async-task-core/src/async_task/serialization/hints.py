"""Which classes the annotations of a function or a class mention."""

from __future__ import annotations

import functools
import inspect
import sys
import types
import typing
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from async_task.serialization.shapes import is_model

if TYPE_CHECKING:
    from collections.abc import Iterator

if sys.version_info >= (3, 14):
    from annotationlib import Format, get_annotations

    # There, reading annotations evaluates them, and one undefined name would fail them all.
    _annotations = functools.partial(get_annotations, format=Format.FORWARDREF)
else:
    _annotations = inspect.get_annotations


class Hint(NamedTuple):
    """One annotation, not yet resolved, and the names it may refer to."""

    annotation: object
    names: dict[str, object]


def hints_of(subject: object) -> Iterator[Hint]:
    """Yield the annotations of a callable's parameters and return value.

    Of a class: those of its attributes and of its constructor. Nothing is resolved here, so they
    may mention what is not defined yet.
    """
    if isinstance(subject, functools.partial):
        subject = cast("functools.partial[object]", subject).func
    if not isinstance(subject, type):
        function = subject if inspect.isroutine(subject) else type(subject).__call__
        yield from _own_hints(inspect.unwrap(cast("Any", function)))
    elif is_model(subject):  # the annotations of its base classes mention internals of pydantic
        names = _module_names(subject)
        for field in cast("Any", subject).model_fields.values():
            yield Hint(field.annotation, names)
    else:
        for base in subject.__mro__:
            yield from _own_hints(base)
            if constructor := vars(base).get("__init__"):
                yield from _own_hints(constructor)


def _own_hints(subject: Any) -> Iterator[Hint]:
    try:
        annotations = _annotations(subject)
    except Exception:  # not a Python function, or one whose annotations cannot be read
        return
    names = getattr(subject, "__globals__", None) or _module_names(subject)
    for annotation in annotations.values():
        yield Hint(annotation, names)


def _module_names(subject: Any) -> dict[str, object]:
    # The module's own dictionary, not a copy: what it defines later must be found later.
    module = sys.modules.get(getattr(subject, "__module__", None) or "")
    return vars(module) if module else {}


def resolve(hint: Hint) -> object:
    """Return the annotation with all names looked up; raises anything if one is missing."""
    holder = types.SimpleNamespace(__annotations__={"it": hint.annotation})
    return typing.get_type_hints(holder, globalns=hint.names, include_extras=True)["it"]


def classes_in(annotation: object) -> Iterator[type]:
    """Yield the classes a resolved annotation mentions, at any depth of generics and unions."""
    pending = [annotation]
    while pending:
        item = pending.pop()
        origin = typing.get_origin(item)
        if isinstance(item, (list, tuple)):  # the parameters of a Callable
            pending.extend(cast("list[object]", item))
        elif origin is typing.Annotated:
            pending.append(typing.get_args(item)[0])
        elif origin in (typing.Literal, typing.ClassVar):
            continue
        elif origin is not None:
            pending.append(origin)
            pending.extend(typing.get_args(item))
        elif isinstance(item, type):
            yield item
        else:
            # What a NewType, a type alias or a type variable stands for.
            for attribute in ("__supertype__", "__value__", "__bound__", "__constraints__"):
                pending.extend(filter(None, [getattr(item, attribute, None)]))
