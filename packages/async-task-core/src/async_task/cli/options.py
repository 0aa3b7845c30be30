"""Options that commands share: `--json`, and to reach a backend `--app` and every setting."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import click

from async_task.cli.backend import Backend
from async_task.config import check_queue, setting_rows
from async_task.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from async_task.settings import SettingRow

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON on standard output, and nothing else."
)

_APP_HELP = (
    "Module or .py file with tasks and configuration; may be repeated.  [env: ASYNC_TASK_APP,"
    " comma-separated; also app in [tool.async-task] of pyproject.toml; default: the modules with"
    " tasks in the working directory]"
)


def check_queues(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    """Refuse what is no queue name: the callback of options that take one, several or none."""
    try:
        for name in [value] if isinstance(value, str) else value or ():
            check_queue(name)
    except ConfigurationError as exc:
        raise click.BadParameter(str(exc), ctx, param) from exc
    return value


_PREFIX = "setting_"


class SettingOption(click.Option):
    """The flag of one setting. Its text is parsed where keywords and the environment are."""

    def __init__(self, row: SettingRow) -> None:
        notes = f"env: {row.env[0]}"
        if row.default not in (None, "") and not row.secret:
            notes += f"; default: {row.default}"
        super().__init__(
            [row.flag, _PREFIX + row.keyword],
            metavar=row.type_name.removesuffix(" or none").upper(),
            help=f"{row.doc}  [{notes}]",
        )
        self.section = row.section


class BackendCommand(click.Command):
    """A command that works on a backend: its function is given a `Backend` as `backend`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        options["callback"] = _with_backend(options["callback"])
        super().__init__(*args, **options)
        self.params.append(click.Option(["--app"], multiple=True, metavar="MODULE", help=_APP_HELP))
        self.params.extend(map(SettingOption, setting_rows().values()))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command's own options, then the settings of core and of each driver."""
        sections: dict[str, list[tuple[str, str]]] = {"Options": []}
        for param in self.get_params(ctx):
            title = "Options"
            if isinstance(param, SettingOption):
                title = "Settings" if param.section == "core" else f"Settings of {param.section}"
            if record := param.get_help_record(ctx):
                sections.setdefault(title, []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


def _with_backend(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*, app: tuple[str, ...], **values: Any) -> Any:
        flags = {
            name.removeprefix(_PREFIX): values.pop(name)
            for name in list(values)
            if name.startswith(_PREFIX)
        }
        given = {keyword: text for keyword, text in flags.items() if text is not None}
        return function(backend=Backend(app, given), **values)

    return call
