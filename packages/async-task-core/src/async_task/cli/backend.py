"""The backend a command works on: whose application, with which settings."""

from __future__ import annotations

import contextlib
import functools
import sys
from typing import TYPE_CHECKING

import click

from async_task.cli.discovery import App, discover
from async_task.config import Config, get_global_config, set_config, set_global_config
from async_task.errors import ConfigurationError, PluginError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from async_task.core.queue_driver import QueueDriver


class Backend:
    """What the command line says about the backend; nothing is imported before it is asked.

    Args:
        apps: Modules named by `--app`.
        flags: Settings given as flags, as text, by keyword.
    """

    def __init__(self, apps: tuple[str, ...], flags: Mapping[str, str]) -> None:
        self._apps = apps
        self.flags = flags

    @functools.cached_property
    def app(self) -> App:
        """The application's modules, imported.

        Raises:
            ConfigurationError: One is not there or fails to import.
        """
        app = discover(self._apps)
        with contextlib.redirect_stdout(sys.stderr):  # which is for the command's own output
            app.load()
        return app

    @functools.cached_property
    def config(self) -> Config:
        """Flags, on what the application's modules set, on the environment.

        From then on it is the process's, so that it holds for what tasks dispatch. Only where these
        go is the application's to say, if it does: a worker of `--driver redis` runs the tasks of
        one driver of an application that may have several.

        Raises:
            UsageError: A flag's value cannot be.
            ConfigurationError: Another layer's cannot.
        """
        try:
            flags = Config(**self.flags)
            if flags.driver is not None or flags.url is not None:
                flags.driver_info()
        except PluginError:
            raise
        except ConfigurationError as exc:
            raise click.UsageError(str(exc), click.get_current_context(silent=True)) from exc
        _ = self.app
        own = set_config()
        config = (own or get_global_config()).replace(**self.flags)
        choice = {} if own is None else {"driver": own.driver, "url": own.url}
        chosen = {name: value for name, value in choice.items() if value is not None}
        set_global_config(**(config.given | chosen if chosen else config.given))
        return config

    def driver(self) -> QueueDriver:
        """Make the driver, not connected yet."""
        from async_task.core.driver_factory import DriverFactory

        return DriverFactory.create_from_config(self.config)
