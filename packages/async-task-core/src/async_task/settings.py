"""Settings as data: what a declaration gives to keywords, environment, flags and documentation."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from dataclasses import dataclass
from typing import Any

from async_task.errors import ConfigurationError

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One setting as keyword, environment variable, flag and documentation see it.

    Attributes:
        section: `"core"` or the driver's name.
        keyword: What users write in Python.
        env: Environment variables that set it, the first one found wins.
        field: Its name in the settings dataclass.
        hint: Its type.
        default: Its default.
        doc: One sentence.
        secret: Never shown.
    """

    section: str
    keyword: str
    env: tuple[str, ...]
    field: str
    hint: Any
    default: Any
    doc: str
    secret: bool

    @property
    def flag(self) -> str:
        """The command-line flag."""
        return "--" + self.keyword.replace("_", "-")

    @property
    def type_name(self) -> str:
        """The type in words: `int`, `str or none`."""
        if isinstance(self.hint, type):
            return self.hint.__name__
        return str(self.hint).replace(" | None", " or none")


def rows_of(section: str, cls: type[Any]) -> dict[str, SettingRow]:
    """Return the settings a dataclass of `setting()` fields declares, by keyword."""
    hints = typing.get_type_hints(cls)
    prefix = "" if section == "core" else f"{section}_"
    rows: dict[str, SettingRow] = {}
    for field in dataclasses.fields(cls):
        keyword = field.metadata.get("keyword") or prefix + field.name
        env = field.metadata.get("env") or (f"ASYNC_TASK_{keyword.upper()}",)
        rows[keyword] = SettingRow(
            section,
            keyword,
            env,
            field.name,
            hints[field.name],
            field.default,
            field.metadata.get("doc", ""),
            field.metadata.get("secret", False),
        )
    return rows


def parse_value(row: SettingRow, value: Any) -> Any:
    """Return `value` in the type `row` declares; text is parsed, an int is taken for a float.

    Raises:
        ConfigurationError: It cannot be; the message never shows a secret.
    """
    options = _options(row.hint)
    if types.NoneType in options and _says_none(value, options):
        return None
    for hint in options:
        parsed = _parsed(hint, value)
        if parsed is not None:
            return parsed
    shown = "the value given" if row.secret else repr(value)
    msg = f"{row.keyword} ({row.flag}, {row.env[0]}) takes {row.type_name}, not {shown}"
    raise ConfigurationError(msg)


def _options(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)


def _says_none(value: Any, options: tuple[Any, ...]) -> bool:
    if isinstance(value, str):  # "none" may be a name or a password, but it is no number
        return value == "" or (value.lower() == "none" and str not in options)
    return value is None


def _parsed(hint: Any, value: Any) -> Any:
    """Return the value as `hint`, or None if it is none."""
    if hint is bool:
        if isinstance(value, bool):
            return value
        text = str(value).lower()
        return True if text in _TRUE else False if text in _FALSE else None
    if isinstance(value, bool):
        return None
    if hint is float and isinstance(value, (str, int, float)):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            return None
        return number if math.isfinite(number) else None
    if hint is int and isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            return None
    return value if isinstance(hint, type) and isinstance(value, hint) else None
