"""The settings in force, and where each came from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from async_task.cli.output import masked
from async_task.config import Config, setting_rows

if TYPE_CHECKING:
    from async_task.cli.backend import Backend
    from async_task.settings import SettingRow


def settings_in_force(backend: Backend, driver: str) -> list[dict[str, Any]]:
    """Return keyword, value (secrets masked) and source of all settings of core and one driver."""
    config = backend.config
    from_env = Config.from_env()
    return [
        {
            "setting": keyword,
            "value": _shown(row, getattr(config, keyword)),
            "from": _source(backend, row, getattr(config, keyword), getattr(from_env, keyword)),
        }
        for keyword, row in setting_rows().items()
        if row.section in ("core", driver)
    ]


def _source(backend: Backend, row: SettingRow, value: object, from_env: object) -> str:
    if row.keyword in backend.flags:
        return row.flag
    variable = next((name for name in row.env if name in os.environ), None)
    if variable is not None and value == from_env:
        return variable
    return "default" if value == row.default else "set_global_config"


def _shown(row: SettingRow, value: Any) -> Any:
    if value is None or not isinstance(value, str):
        return value
    return "***" if row.secret else masked(value)
