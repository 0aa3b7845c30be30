"""`async-task migrate`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from async_task.cli.options import BackendCommand, json_option
from async_task.cli.output import print_json

if TYPE_CHECKING:
    from async_task.cli.backend import Backend
    from async_task.core.queue_driver import QueueDriver
    from async_task.spi.facets import Migrations


@click.command(cls=BackendCommand)
@click.option("--check", is_flag=True, help="Change nothing; exit 1 if something is pending.")
@click.option("--sql", is_flag=True, help="Print the whole schema as a script; connect nowhere.")
@json_option
def command(backend: Backend, check: bool, sql: bool, as_json: bool) -> int:
    """Create or update the backend's schema.

    Doing it again, or from several hosts at once, is harmless. For a backend without a schema there
    is nothing to do.
    """
    if check and sql:
        raise click.UsageError("--check and --sql exclude each other")
    return asyncio.run(_migrate(backend.driver(), check=check, sql=sql, as_json=as_json))


async def _migrate(driver: QueueDriver, *, check: bool, sql: bool, as_json: bool) -> int:
    migrations = driver.driver.migrations
    if sql:
        if migrations is None:
            raise driver.unsupported("migrations", "has no schema")
        script = migrations.sql()
        if as_json:
            print_json({"driver": driver.name, "sql": script})
        else:
            click.echo(script, nl=not script.endswith("\n"))
        return 0
    pending, applied = await _done(migrations, check=check)
    if as_json:
        print_json(
            {
                "driver": driver.name,
                "schema": migrations is not None,
                "pending": pending,
                "applied": applied,
            }
        )
    elif migrations is None:
        click.echo(f"driver {driver.name!r} has no schema: nothing to migrate")
    else:
        for name in pending:
            click.echo(f"pending: {name}")
        for name in applied:
            click.echo(f"applied: {name}")
        if not pending and not applied:
            click.echo("the schema is up to date")
    return 1 if pending else 0


async def _done(migrations: Migrations | None, *, check: bool) -> tuple[list[str], list[str]]:
    """Return what is pending, and what was applied."""
    if migrations is None:
        return [], []
    if check:
        return list(await migrations.pending()), []
    return [], list(await migrations.apply())
