"""The settings in force, and where each came from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from async_task.cli.output import masked
from async_task.config import Config, setting_rows

if TYPE_CHECKING:
    from async_task.cli.backend import Backend
    from async_task.settings import SettingRow
    from async_task.spi.plugin import DriverInfo


def settings_in_force(backend: Backend, driver: DriverInfo) -> list[dict[str, Any]]:
    """Return keyword, value (secrets masked) and source of all settings of core and one driver."""
    config, from_env = backend.config, Config.from_env()
    settings = config.driver_settings(driver)
    found: list[dict[str, Any]] = []
    for keyword, row in setting_rows().items():
        if row.section not in ("core", driver.name):
            continue
        value = getattr(config if row.section == "core" else settings, row.field)
        if value == row.default:
            source = "default"
        elif keyword not in config.given:
            source = "url"
        else:
            source = _source(backend, row, value, getattr(from_env, keyword))
        found.append({"setting": keyword, "value": _shown(row, value), "from": source})
    return found


def _source(backend: Backend, row: SettingRow, value: object, from_env: object) -> str:
    if row.keyword in backend.flags:
        return row.flag
    variable = next((name for name in row.env if name in os.environ), None)
    return variable if variable is not None and value == from_env else "set_global_config"


def _shown(row: SettingRow, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return "***" if row.secret else masked(value)
