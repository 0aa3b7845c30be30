"""Settings: what can be set, where values come from, and which driver they choose.

Every setting is declared once, here for core and in each driver's `DriverSettings`. From the
declaration come the keyword, the environment variable, the command-line flag and the docs row.
Precedence: keyword, then environment, then default; command-line flags come in as keywords.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from async_task.errors import ConfigurationError, PluginError, UnknownDriverError
from async_task.plugins.manager import FIRST_PARTY, plugins, resolve
from async_task.settings import SettingRow, parse_value, rows_of
from async_task.spi.settings import DriverSettings, setting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from async_task.spi.plugin import DriverInfo

QUEUE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}")
"""What every backend takes as a queue name; SQS is the narrowest (80 characters, no dots)."""

_NAMESPACE = re.compile(r"[a-z0-9_]{0,40}")


def check_queue(name: str) -> str:
    """Return `name` if it is a valid queue name.

    Raises:
        ConfigurationError: It is not.
    """
    if not QUEUE_NAME.fullmatch(name):
        msg = (
            f"queue name {name!r} is not valid: 1 to 80 letters, digits, '-' or '_', beginning with"
            " a letter or digit, so that every backend takes it"
        )
        raise ConfigurationError(msg)
    return name


@dataclass(frozen=True, kw_only=True)
class CoreSettings:
    """The settings that belong to no driver. Durations are seconds."""

    driver: str | None = setting(None, "Name of the driver; see `async-task plugins`.")
    url: str | None = setting(
        None, "URL that picks the driver by its scheme and holds its settings.", secret=True
    )
    results: str | None = setting(
        None,
        "Name or URL of the driver that keeps results for drivers that keep none.",
        secret=True,
    )
    control: str | None = setting(
        None,
        "Name or URL of the driver by which drivers cancel and pause that cannot themselves.",
        secret=True,
    )
    namespace: str = setting("", "Prefix that keeps applications apart within one backend.")
    default_queue: str = setting("default", "Queue of tasks that name none.")
    default_max_retries: int = setting(
        3,
        "Re-runs after a failed first run, for tasks that do not say.",
        env=("ASYNC_TASK_DEFAULT_MAX_RETRIES", "ASYNC_TASK_MAX_RETRIES"),
    )
    default_retry_delay: float = setting(
        60.0,
        "Seconds before a re-run, for tasks that do not say.",
        env=("ASYNC_TASK_DEFAULT_RETRY_DELAY", "ASYNC_TASK_RETRY_DELAY"),
    )
    default_timeout: float | None = setting(
        None,
        "Seconds that one run may take, for tasks that do not say; none for no limit.",
        env=("ASYNC_TASK_DEFAULT_TIMEOUT", "ASYNC_TASK_TIMEOUT"),
    )
    default_result_ttl: float | None = setting(
        None, "Seconds that results are kept, for tasks that do not say; none to keep none."
    )
    visibility_timeout: float = setting(
        30.0, "Seconds that a lease holds without renewal: how soon a dead worker's tasks return."
    )
    grace: float = setting(25.0, "Seconds that running tasks get to finish when a worker stops.")
    op_timeout: float = setting(5.0, "Seconds that one call to the backend may take.")
    max_body: int = setting(1_048_576, "Largest message in bytes; checked before it is sent.")

    def __post_init__(self) -> None:
        check_queue(self.default_queue)
        if not _NAMESPACE.fullmatch(self.namespace):
            msg = f"namespace {self.namespace!r} is not valid: up to 40 of a-z, 0-9 and _"
            raise ConfigurationError(msg)
        for name, least in (
            ("default_max_retries", 0),
            ("default_retry_delay", 0),
            ("visibility_timeout", 1),
            ("grace", 0),
            ("op_timeout", 0.05),
            ("max_body", 1024),
        ):
            if getattr(self, name) < least:
                msg = f"{name} must be at least {least}, not {getattr(self, name)}"
                raise ConfigurationError(msg)
        for name in ("default_timeout", "default_result_ttl"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                msg = f"{name} must be above 0 (or none), not {value}"
                raise ConfigurationError(msg)


@functools.cache
def setting_rows() -> dict[str, SettingRow]:
    """Return every setting of core and of the installed drivers, by keyword."""
    rows = rows_of("core", CoreSettings)
    for info in plugins().drivers.values():
        with contextlib.suppress(PluginError):  # `_row` says so to who uses one of them
            rows |= rows_of(info.name, resolve(info.settings))
    return rows


class Config(CoreSettings):
    """Settings, immutable. Core settings are attributes; a driver's are too, by their keyword.

    Args:
        **values: Settings by keyword, for example `driver="redis", redis_url="redis://..."`. The
            environment is not read; see `from_env`.

    Raises:
        ConfigurationError: An unknown keyword (the nearest valid one is named), a value of the
            wrong type or out of range.
    """

    _given: Mapping[str, Any]

    def __init__(self, **values: Any) -> None:
        rows = setting_rows()
        given = {name: parse_value(_row(rows, name), value) for name, value in values.items()}
        super().__init__(**{k: v for k, v in given.items() if rows[k].section == "core"})
        object.__setattr__(self, "_given", given)

    @classmethod
    def from_env(cls, **overrides: Any) -> Config:
        """Build from the environment, with `overrides` on top."""
        values: dict[str, Any] = {}
        for keyword, row in setting_rows().items():
            for variable in row.env:
                if variable in os.environ:
                    values[keyword] = os.environ[variable]
                    break
        return cls(**_layered(values, overrides))

    def replace(self, **overrides: Any) -> Config:
        """Return a copy with `overrides` on top."""
        return Config(**_layered(self._given, overrides))

    @property
    def given(self) -> dict[str, Any]:
        """What was set, by keyword; the rest has its default."""
        return dict(self._given)

    def __getattr__(self, keyword: str) -> Any:
        if keyword.startswith("_"):
            raise AttributeError(keyword)
        row = setting_rows().get(keyword)
        if row is None:
            msg = f"there is no setting {keyword!r}"
            raise AttributeError(msg)
        return self._given.get(keyword, row.default)

    def __setattr__(self, keyword: str, value: Any) -> None:
        msg = f"a Config does not change; make another one by replace({keyword}=...)"
        raise AttributeError(msg)

    def __repr__(self) -> str:
        rows = setting_rows()
        shown = ", ".join(
            f"{k}='***'" if rows[k].secret and v is not None else f"{k}={v!r}"
            for k, v in self._given.items()
        )
        return f"Config({shown})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Config) and self._given == other._given

    def __hash__(self) -> int:
        return hash(frozenset(self._given.items()))

    def driver_info(self) -> DriverInfo:
        """Choose the driver: `driver`, else by `url`, else by what is set, else the only one there.

        Raises:
            UnknownDriverError: The one asked for is not installed.
            ConfigurationError: Nothing decides; the message lists what is installed.
        """
        if self.driver is not None:
            return plugins().driver(self.driver)
        if self.url is not None:
            return plugins().driver_for_scheme(_scheme(self.url))
        # Names that a driver shares with others (`AWS_ACCESS_KEY_ID`) are no choice of it.
        configured = {
            row.section
            for keyword, row in setting_rows().items()
            if keyword.startswith(f"{row.section}_") and self._given.get(keyword) is not None
        }
        candidates = configured or set(plugins().drivers) - {"memory"}
        if len(candidates) == 1:
            return plugins().driver(candidates.pop())
        if not candidates:
            msg = 'no driver is installed; pip install "async-task[sqlite]", or use driver="memory"'
            raise UnknownDriverError(msg)
        why = "settings of several drivers are given" if configured else "several are installed"
        names = ", ".join(sorted(candidates))
        msg = f"which driver? {why}: {names}; set driver= or ASYNC_TASK_DRIVER to one of them"
        raise ConfigurationError(msg)

    def driver_settings(self, info: DriverInfo) -> DriverSettings:
        """Return the settings of one driver: from `url` if it is its own, then its keywords."""
        cls: type[DriverSettings] = resolve(info.settings)
        values: dict[str, Any] = {}
        if self.url is not None and _scheme(self.url) in info.schemes:
            values |= cls.from_url(self.url)
        for keyword, row in rows_of(info.name, cls).items():
            if keyword in self._given:
                values[row.field] = self._given[keyword]
        return cls.make(**values)


def _layered(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge; a `url` in the upper layer beats what the lower one says otherwise."""
    lower = dict(base)
    url = over.get("url")
    if isinstance(url, str) and url:
        if over.get("driver") is None:
            lower.pop("driver", None)
        for keyword in _said_by(url):
            lower.pop(keyword, None)
    return lower | dict(over)


def _said_by(url: str) -> list[str]:
    for info in plugins().drivers.values():
        if _scheme(url) in info.schemes:
            cls: type[DriverSettings] = resolve(info.settings)
            fields = cls.from_url(url)
            return [k for k, row in rows_of(info.name, cls).items() if row.field in fields]
    return []


def _scheme(url: str) -> str:
    scheme, separator, _ = url.partition("://")  # urlsplit() shows passwords when it complains
    if not separator:
        msg = "url has no scheme; write for example sqlite:///tasks.db or redis://localhost:6379"
        raise ConfigurationError(msg)
    return scheme.lower()


def _row(rows: dict[str, SettingRow], keyword: str) -> SettingRow:
    if keyword in rows:
        return rows[keyword]
    for info in plugins().drivers.values():
        if keyword.startswith(f"{info.name}_"):
            resolve(info.settings)  # raises if they are missing because they cannot be imported
    driver = keyword.partition("_")[0]
    if driver in FIRST_PARTY and driver not in plugins().drivers:
        plugins().raise_failure(driver)
        remedy = f'pip install "async-task[{driver}]"'
        msg = f"setting {keyword!r} needs a driver that is not installed; {remedy}"
        raise UnknownDriverError(msg)
    nearest = difflib.get_close_matches(keyword, rows, n=1)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else "; see docs/configuration.md"
    msg = f"unknown setting {keyword!r}{hint}"
    raise ConfigurationError(msg)


_global: Config | None = None


def set_global_config(**values: Any) -> None:
    """Set what every part of this process uses that is not given a `Config` of its own.

    Keywords come before the environment. Calling it again replaces the whole; dispatchers that are
    open already keep what they were opened with.
    """
    global _global
    _global = Config.from_env(**values)


def set_config() -> Config | None:
    """Return what `set_global_config` set, or None."""
    return _global


def get_global_config() -> Config:
    """Return what `set_global_config` set, or else the environment's configuration."""
    return _global if _global is not None else Config.from_env()
