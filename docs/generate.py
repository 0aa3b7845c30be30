"""Write those parts of the pages that come from the code: settings, commands, capabilities, files.

A part stands between `<!-- generated: NAME -->` and `<!-- end -->`; NAME is one of `PARTS`, or the
path of a file to show, with `//` before what its title is to be if that is more than the file's
name. `--check` changes nothing and fails if a page is stale.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from async_task.cli.main import PROGRAM, commands
from async_task.cli.options import BackendCommand, SettingOption
from async_task.cli.output import masked
from async_task.config import setting_rows
from async_task.plugins.manager import plugins
from async_task.spi.capabilities import Capabilities, Delay, Facet

if TYPE_CHECKING:
    from collections.abc import Iterable

    from async_task.settings import SettingRow
    from async_task.spi.plugin import DriverInfo

ROOT = Path(__file__).parents[1]
PART = re.compile(r"(<!-- generated: (?P<name>\S+) -->\n).*?(<!-- end -->)", re.DOTALL)

MEANINGS = {
    "dead_letters": "keeps what was given up on",
    "results": "keeps results",
    "control": "lists queues, tells a task's status, cancels and pauses",
    "transactions": "stores tasks, and ends them, in a transaction of your own",
    "migrations": "has a schema that `async-task migrate` makes",
    "max_batch": "most tasks in one call; more are split",
    "max_body": "largest task in bytes, below `max_body` of the configuration",
    "max_visibility_ms": "longest that a lease can be renewed in all",
    "priorities": "levels of priority within a queue",
    "ordered": "what is due earlier is handed out earlier, not only about so",
    "delay": "how fine a delay is",
    "fence": "what is done under an old lease certainly changes nothing",
    "atomic_settle": "the end of a run is one step, with never two copies of a task",
    "idempotent_enqueue": "the same task sent twice, unfinished, is stored once",
    "recoverable_lease": "tasks taken by a call without an answer are found again at once",
    "purges_delayed": "emptying a queue reaches delayed tasks too",
    "dead_letters_by_id": "dead letters are found by id",
}


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table in Markdown."""
    heads = [*heads]
    lines = [heads, ["---"] * len(heads), *rows]
    cells = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)


def settings() -> str:
    """Return the tables of settings: core's, then each driver's."""
    parts: list[str] = []
    for section in ("core", *drivers()):
        rows = [row for row in setting_rows().values() if row.section == section]
        title = "Core" if section == "core" else f"Driver `{section}`"
        body = table(
            ["setting", "type", "default", "environment", ""],
            [
                (
                    f"`{row.keyword}`",
                    row.type_name,
                    default_of(row),
                    ", ".join(f"`{name}`" for name in row.env),
                    row.doc,
                )
                for row in rows
            ],
        )
        parts.append(f"### {title}\n\n{body}")
    return "\n".join(parts)


def default_of(row: SettingRow) -> str:
    """Return a default in words; the passwords that URLs come with are not for a page."""
    if row.default is None:
        return "none"
    return f"`{masked(str(row.default))}`" if row.default != "" else "empty"


def capabilities() -> str:
    """Return the table of what each driver declares."""
    infos = drivers()
    names = [f"`{name}`" for name in infos]
    facets = [
        [facet.value, *("yes" if facet in i.capabilities.facets else "no" for i in infos.values())]
        for facet in Facet
    ]
    fields = [
        [name, *(value_of(i.capabilities, name) for i in infos.values())]
        for name in (field.name for field in dataclasses.fields(Capabilities))
        if name != "facets"
    ]
    rows = [[f"`{name}`", *cells, MEANINGS[name]] for name, *cells in [*facets, *fields]]
    return table(["", *names, ""], rows)


def value_of(declared: Capabilities, name: str) -> str:
    """Return one capability in words."""
    value = getattr(declared, name)
    if isinstance(value, Delay):
        return value.name.lower()
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "no limit" if value is None else f"{value:,}"


def drivers() -> dict[str, DriverInfo]:
    """Return the drivers by name, memory last."""
    return dict(sorted(plugins().drivers.items(), key=lambda item: (item[0] == "memory", item[0])))


def reference() -> str:
    """Return the reference of the command line."""
    return "\n".join(described(commands, click.Context(commands, info_name=PROGRAM)))


def described(command: click.Command, context: click.Context) -> Iterable[str]:
    """Yield one section per command, and those of the commands below it."""
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    about = inspect.cleandoc(command.help or "")
    body = f"### {context.command_path}\n\n{about}\n\n```text\n{usage}\n```\n"
    own = [p for p in command.params if isinstance(p, click.Option) and p.name != "app"]
    own = [option for option in own if not isinstance(option, SettingOption)]
    records = [record for option in own if (record := option.get_help_record(context))]
    if records:
        body += "\n" + table(["option", ""], [(f"`{names}`", doc) for names, doc in records])
    if isinstance(command, BackendCommand):
        body += "\nAnd `--app`, and every setting as a flag.\n"
    yield body
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from described(below, click.Context(below, context, name))


PARTS = {"settings": settings, "capabilities": capabilities, "commands": reference}


def generated(part: re.Match[str]) -> str:
    """Return a part as it should be."""
    name = part["name"]
    if name in PARTS:
        body = f"\n{PARTS[name]()}"
    else:
        file = ROOT / name
        language = "python" if file.suffix == ".py" else file.suffix[1:]
        title = name.partition("//")[2] or file.name
        body = f'```{language} title="{title}"\n{file.read_text()}```\n'
    return part[1] + body + part[3]


def main() -> None:
    """Write or check every page."""
    stale: list[str] = []
    for page in sorted((ROOT / "docs").rglob("*.md")):
        text = page.read_text()
        fresh = PART.sub(generated, text)
        if fresh != text:
            stale.append(str(page.relative_to(ROOT)))
            if "--check" not in sys.argv:
                page.write_text(fresh)
    if stale and "--check" in sys.argv:
        sys.exit(f"stale: {', '.join(stale)}; run `hatch run docs`")
    print("\n".join(f"wrote {name}" for name in stale) or "every page is up to date")


if __name__ == "__main__":
    main()
