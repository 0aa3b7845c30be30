"""Rows as arguments of tasks: they travel as references and arrive fresh.

Names are resolved when first used, so that the plug-in costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from async_task_orm.reference import MissingRowError as MissingRowError
    from async_task_orm.reference import Reference as Reference
    from async_task_orm.registration import Missing as Missing
    from async_task_orm.registration import register_model as register_model
    from async_task_orm.sqlalchemy import (
        set_sqlalchemy_session_factory as set_sqlalchemy_session_factory,
    )
    from async_task_orm.tortoise import set_tortoise_config as set_tortoise_config

_HOMES = {
    "Missing": "registration",
    "MissingRowError": "reference",
    "Reference": "reference",
    "register_model": "registration",
    "set_sqlalchemy_session_factory": "sqlalchemy",
    "set_tortoise_config": "tortoise",
}

__all__ = [
    "Missing",
    "MissingRowError",
    "Reference",
    "register_model",
    "set_sqlalchemy_session_factory",
    "set_tortoise_config",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module 'async_task_orm' has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(f"async_task_orm.{home}"), name)
