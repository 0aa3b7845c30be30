"""Making a driver from settings."""

from __future__ import annotations

from typing import Any

from async_task.config import Config, setting_rows
from async_task.core.queue_driver import QueueDriver
from async_task.plugins.manager import plugins, resolve
from async_task.settings import rows_of


class DriverFactory:
    """Makes `QueueDriver`s; does no I/O."""

    @staticmethod
    def create_from_config(config: Config, driver_type: str | None = None) -> QueueDriver:
        """Make the driver that `config` chooses, or the one named by `driver_type`.

        Raises:
            ConfigurationError: Nothing decides, or a setting is wrong.
            UnknownDriverError: It is not installed; says how to install it.
        """
        return QueueDriver.from_config(config, name=driver_type)

    @staticmethod
    def create(driver_type: str, **settings: Any) -> QueueDriver:
        """Make a driver from its own settings, by their names without the driver's prefix.

        Core settings (`namespace=`, `op_timeout=`...) may be given too.
        """
        cls = resolve(plugins().driver(driver_type).settings)
        keywords = {row.field: keyword for keyword, row in rows_of(driver_type, cls).items()}
        for name in settings:
            if name not in keywords and name not in setting_rows():
                keywords[name] = f"{driver_type}_{name}"  # so that the nearest one is found
        values = {keywords.get(name, name): value for name, value in settings.items()}
        return QueueDriver.from_config(Config(**values, driver=driver_type))
