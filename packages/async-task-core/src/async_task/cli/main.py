"""The program: one group whose commands are imported when they are used.

Exit codes: 0 done, 1 failure, 2 usage, 130 after Ctrl-C.
"""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

from async_task.__about__ import __version__
from async_task.cli.output import masked
from async_task.cli.suggesting import SuggestingGroup
from async_task.errors import AsyncTaskError
from async_task.plugins.manager import plugins, resolve

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM = "async-task"


class Commands(SuggestingGroup):
    """The commands that plug-ins declare, those of core among them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands, in the order in which they were declared."""
        return list(plugins().commands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command of that name, if there is one."""
        info = plugins().commands.get(cmd_name)
        return None if info is None else resolve(info.target)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from what was declared, importing none."""
        with formatter.section("Commands"):
            formatter.write_dl([(info.name, info.summary) for info in plugins().commands.values()])

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> NoReturn:
        """Run and exit: errors are one message on stderr, with no password and no traceback."""
        del prog_name, standalone_mode
        try:
            code: int | None = super().main(
                args, PROGRAM, complete_var, standalone_mode=False, **extra
            )
        except click.ClickException as exc:
            message = io.StringIO()
            exc.show(message)
            click.echo(masked(message.getvalue()), err=True, nl=False)
            sys.exit(exc.exit_code)
        except AsyncTaskError as exc:
            click.echo(f"Error: {masked(str(exc))}", err=True)
            sys.exit(1)
        except (click.Abort, KeyboardInterrupt):
            sys.exit(130)
        sys.exit(code)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=(
        "\b\n"
        'Completion in the shell: eval "$(_ASYNC_TASK_COMPLETE=bash_source async-task)", or'
        " zsh_source, or fish_source."
    ),
)
@click.version_option(__version__, message="async-task %(version)s")
def commands() -> None:
    """Run and look after task queues.

    Every command takes --help, and --json for programs to read.
    """


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line with these arguments, `sys.argv`'s unless given, and exit."""
    commands.main(args)
