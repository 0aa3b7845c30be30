"""What an application says about single models; most need nothing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from async_task.errors import ConfigurationError

M = TypeVar("M", bound=type)


class Missing(StrEnum):
    """What becomes of a task when a row it was dispatched with is gone."""

    FAIL = "fail"
    """The run fails with `MissingRowError`, and is tried again as the task says."""
    DISCARD = "discard"
    """The task ends without a run, as if it had been cancelled."""
    NONE = "none"
    """The task runs, with `None` in the place of the row."""


@dataclass(frozen=True, slots=True)
class Registration:
    """What was said about a model.

    Attributes:
        name: What to call it in messages, instead of what its ORM calls it.
        missing: What becomes of a task when a row is gone.
    """

    name: str | None = None
    missing: Missing = Missing.FAIL


_UNREGISTERED = Registration()
_of_model: dict[type, Registration] = {}
_by_name: dict[str, type] = {}


def register_model(
    model: M, *, name: str | None = None, missing: Missing | str = Missing.FAIL
) -> M:
    """Say how rows of a model travel, and return the model; needed only to change a default.

    It holds for exactly this class, not for its subclasses. Do it where the model is defined, so
    that workers and their child processes do it too.

    Args:
        model: A mapped class of SQLAlchemy, or a model of Django or Tortoise.
        name: What to call it in messages; keep it for good. It lets a class be renamed, and tells
            apart two classes of SQLAlchemy that have one name.
        missing: What becomes of a task when a row it was dispatched with is gone.

    Raises:
        ConfigurationError: Another model has that name, or `missing` is none of the three.
    """
    try:
        missing = Missing(missing)
    except ValueError:
        words = ", ".join(repr(policy.value) for policy in Missing)
        msg = f"register_model({model.__name__}): missing must be one of {words}, not {missing!r}"
        raise ConfigurationError(msg) from None
    if name is not None:
        holder = _by_name.setdefault(name, model)
        if (holder.__module__, holder.__qualname__) != (model.__module__, model.__qualname__):
            msg = (
                f"{holder.__qualname__} is called {name!r} already; give {model.__qualname__}"
                " another name"
            )
            raise ConfigurationError(msg)
        _by_name[name] = model  # of a module that was loaded again
    _of_model[model] = Registration(name, missing)
    return model


def registration_of(model: type) -> Registration:
    """Return what was said about a model."""
    return _of_model.get(model, _UNREGISTERED)


def registered_as(name: str) -> type | None:
    """Return the model that was given this name."""
    return _by_name.get(name)
