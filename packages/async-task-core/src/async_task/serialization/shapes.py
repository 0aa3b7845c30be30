"""How instances of one registered class become plain members and come back."""

from __future__ import annotations

import dataclasses
import enum
import inspect
from typing import TYPE_CHECKING, Any, Protocol, cast

from async_task.errors import DecodeError
from async_task.serialization import wire

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Shape(Protocol):
    """One class on the wire.

    Attributes:
        code: The extension code its instances travel under.
    """

    code: int

    def take(self, value: Any) -> list[object]:
        """Return the members of `value`; ValueError says why it cannot travel."""
        ...

    def build(self, members: list[object]) -> object:
        """Return the instance; raises anything on members that do not fit."""
        ...


def shape_of(cls: type[Any]) -> Shape | None:
    """Return how `cls` travels, or None if it is no Enum, dataclass, named tuple or model."""
    if issubclass(cls, enum.Flag):
        return _FlagShape(cls)
    if issubclass(cls, enum.Enum):
        return _EnumShape(cls)
    if is_model(cls):
        return _ModelShape(cls)
    if dataclasses.is_dataclass(cls):
        return _DataclassShape(cls)
    if issubclass(cls, tuple) and hasattr(cast("type", cls), "_fields"):
        return _NamedTupleShape(cast("Any", cls))
    return None


def is_model(cls: type) -> bool:
    """Return whether `cls` is a pydantic model, without importing pydantic."""
    return hasattr(cls, "model_fields") and hasattr(cls, "__pydantic_validator__")


class _EnumShape:
    code: int = wire.ENUM

    def __init__(self, cls: type[enum.Enum]) -> None:
        self._cls = cls

    def take(self, value: enum.Enum) -> list[object]:
        return [value.name]

    def build(self, members: list[object]) -> object:
        (name,) = members
        try:
            return self._cls[cast("str", name)]
        except KeyError:
            raise DecodeError(f"{self._cls.__qualname__} has no member {name!r:.80}") from None


class _FlagShape:
    """A flag travels as its number, since a combination of members has no name of its own."""

    code: int = wire.ENUM

    def __init__(self, cls: type[enum.Flag]) -> None:
        self._cls = cls

    def take(self, value: enum.Flag) -> list[object]:
        return [int(value.value)]

    def build(self, members: list[object]) -> object:
        (number,) = members
        try:
            return self._cls(number)
        except (ValueError, TypeError):
            raise DecodeError(f"{self._cls.__qualname__} has no value {number!r:.80}") from None


class _DataclassShape:
    code: int = wire.OBJECT

    def __init__(self, cls: type) -> None:
        self._cls = cls
        fields = dataclasses.fields(cls)
        self._names = [field.name for field in fields]
        self._init = {field.name for field in fields if field.init}
        self._required = _required_parameters(cls)

    def take(self, value: object) -> list[object]:
        if unknown := self._required - self._init:
            raise ValueError(f"its constructor needs {_names(unknown)}, which is no field of it")
        members: list[object] = []
        for name in self._names:
            try:
                members += (name, getattr(value, name))
            except AttributeError:
                if name in self._required:
                    raise ValueError(f"its field {name} is not set") from None
        return members

    def build(self, members: list[object]) -> object:
        fields = _pairs(members)
        _check_fields(self._cls, fields, self._names, self._required)
        instance = self._cls(**{name: fields[name] for name in fields if name in self._init})
        for name in fields.keys() - self._init:
            object.__setattr__(instance, name, fields[name])  # a frozen class refuses setattr
        return instance


class _NamedTupleShape:
    code: int = wire.OBJECT

    def __init__(self, cls: type[tuple[object, ...]]) -> None:
        self._cls = cls
        self._names = cast("tuple[str, ...]", cast("Any", cls)._fields)
        self._required = _required_parameters(cls)

    def take(self, value: tuple[object, ...]) -> list[object]:
        return [part for pair in zip(self._names, value, strict=True) for part in pair]

    def build(self, members: list[object]) -> object:
        fields = _pairs(members)
        _check_fields(self._cls, fields, self._names, self._required)
        return self._cls(**fields)


class _ModelShape:
    """Fields travel as they are, so nested models and types survive; decoding validates.

    Fields nobody set explicitly travel too, since a default may differ next time, and stay marked
    as unset. Private attributes do not travel.
    """

    code: int = wire.MODEL

    def __init__(self, cls: Any) -> None:
        self._cls = cls
        fields: dict[str, Any] = self._cls.model_fields
        self._names = list(fields)
        self._root = bool(getattr(cls, "__pydantic_root_model__", False))
        self._extra = self._cls.model_config.get("extra") == "allow"
        aliased = any(field.validation_alias for field in fields.values())
        # Asked for only where needed: `by_name` exists since pydantic 2.11.
        self._options: dict[str, bool] = {"by_name": True} if aliased else {}

    def take(self, value: Any) -> list[object]:
        # Attribute access would warn about deprecated fields.
        content = cast("dict[str, object]", vars(value))
        fields = {name: content[name] for name in self._names if name in content}
        fields |= cast("dict[str, object]", value.model_extra or {})
        was_set: set[str] = value.model_fields_set
        ordered = sorted(fields, key=lambda name: name not in was_set)
        members: list[object] = [sum(name in was_set for name in fields)]
        for name in ordered:
            members += (name, fields[name])
        return members

    def build(self, members: list[object]) -> object:
        set_count = members[0]
        fields = _pairs(members[1:])
        if not self._extra:
            _check_fields(self._cls, fields, self._names, frozenset())
        try:
            content = fields["root"] if self._root else fields
            instance = self._cls.model_validate(content, **self._options)
        except ValueError as error:
            raise DecodeError(f"{self._cls.__qualname__}: {_validation_summary(error)}") from error
        instance.model_fields_set.intersection_update(list(fields)[: cast("int", set_count)])
        return cast("object", instance)


def _required_parameters(cls: type) -> frozenset[str]:
    try:
        parameters = inspect.signature(cls).parameters.values()
    except (ValueError, TypeError):
        return frozenset()
    optional_kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return frozenset(
        p.name for p in parameters if p.default is p.empty and p.kind not in optional_kinds
    )


def _pairs(members: Sequence[object]) -> dict[str, object]:
    names = cast("Sequence[str]", members[::2])
    fields = dict(zip(names, members[1::2], strict=True))
    if len(fields) != len(names):
        raise DecodeError("a field occurs twice")
    return fields


def _check_fields(
    cls: type, fields: Mapping[str, object], known: Sequence[str], required: frozenset[str]
) -> None:
    if unknown := fields.keys() - set(known):
        raise DecodeError(f"{cls.__qualname__} has no field {_names(unknown)}")
    if missing := required - fields.keys():
        raise DecodeError(f"{cls.__qualname__} lacks field {_names(missing)}")


def _names(names: object) -> str:
    return ", ".join(sorted(f"{name!r:.80}" for name in cast("set[object]", names)))


def _validation_summary(error: Any) -> str:
    """Say where a model refuses what, without the values: they may be secrets."""
    if not hasattr(error, "errors"):
        return type(error).__name__
    details = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, d['loc']))}: {d['msg']}" for d in details[:5])
