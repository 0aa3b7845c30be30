"""`async-task doctor`: one verdict per line about everything a worker needs."""

from __future__ import annotations

import asyncio
import platform
import time
from typing import TYPE_CHECKING, Any

import click

from async_task.__about__ import __version__
from async_task.cli.doctor_settings import settings_in_force
from async_task.cli.options import BackendCommand, json_option
from async_task.cli.output import masked, print_json, print_table, printable
from async_task.core.elsewhere import ControlElsewhere, ResultsElsewhere
from async_task.core.registry import registry
from async_task.errors import AsyncTaskError, ConfigurationError
from async_task.plugins.manager import plugins

if TYPE_CHECKING:
    from async_task.cli.backend import Backend
    from async_task.core.queue_driver import QueueDriver
    from async_task.spi.capabilities import Capabilities
    from async_task.spi.facets import Control, Results

OK, NOTE, FAILED = "ok", "note", "FAILED"


class Findings:
    """What was looked at, and whether it is in order."""

    def __init__(self) -> None:
        self.rows: list[dict[str, str]] = []

    def add(self, status: str, check: str, detail: str) -> None:
        """Note one verdict."""
        self.rows.append({"status": status, "check": check, "detail": masked(detail)})

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return all(row["status"] != FAILED for row in self.rows)


@click.command(cls=BackendCommand)
@json_option
def command(backend: Backend, as_json: bool) -> int:
    """Check configuration, backend and what it can do; exit 1 if something is wrong."""
    findings = Findings()
    _versions(findings)
    driver, settings = _configured(backend, findings)
    if driver is not None:
        asyncio.run(_examine(driver, findings))
    if as_json:
        print_json({"ok": findings.ok, "checks": findings.rows, "settings": settings})
    else:
        for row in findings.rows:
            lines = [printable(line) for line in row["detail"].splitlines()] or [""]
            click.echo(f"{row['status']:<7} {row['check']:<13} {lines[0]}".rstrip())
            for line in lines[1:]:
                click.echo(f"{'':<21} {line}".rstrip())
        if settings:
            click.echo()
            print_table(["setting", "value", "from"], [list(row.values()) for row in settings])
        click.echo("\nall is well" if findings.ok else "\nsomething is wrong; see FAILED above")
    return 0 if findings.ok else 1


def _configured(
    backend: Backend, findings: Findings
) -> tuple[QueueDriver | None, list[dict[str, Any]]]:
    """Look at the configuration; return the driver it makes, if any, and the settings in force."""
    try:
        _application(backend, findings)
        info = backend.config.driver_info()
        settings = settings_in_force(backend, info)
        driver = backend.driver()
    except ConfigurationError as exc:
        findings.add(FAILED, "configuration", str(exc))
        return None, []
    findings.add(OK, "driver", f"{info.name}: {info.summary}")
    return driver, settings


async def _examine(driver: QueueDriver, findings: Findings) -> None:
    """Look at the backend."""
    if await _schema(driver, findings):
        await _server(driver, findings)


def _versions(findings: Findings) -> None:
    found = [f"async-task-core {__version__}", f"Python {platform.python_version()}"]
    found += [f"{p.distribution} {p.version}" for p in plugins().plugins]
    findings.add(OK, "versions", ", ".join(dict.fromkeys(found)))
    for plugin in plugins().plugins:
        if plugin.error is not None:
            what = f"{plugin.name} of {plugin.distribution} cannot be imported: {plugin.error}"
            findings.add(FAILED, "plug-in", what)


def _application(backend: Backend, findings: Findings) -> None:
    app = backend.app
    findings.add(OK, "modules", f"{', '.join(app.modules) or 'none'} ({app.source})")
    for file, reason in app.skipped.items():
        findings.add(NOTE, "skipped", f"{file}: {reason}")
    names = sorted(definition.name for definition in registry)
    if names:
        findings.add(OK, "tasks", ", ".join(names))
    else:
        findings.add(NOTE, "tasks", "none found; name the modules that define them with --app")


async def _schema(driver: QueueDriver, findings: Findings) -> bool:
    migrations = driver.driver.migrations
    if migrations is None:
        findings.add(OK, "schema", f"{driver.name} has none")
        return True
    try:
        pending = await migrations.pending()
    except AsyncTaskError as exc:
        findings.add(FAILED, "schema", str(exc))
        return False
    if pending:
        what = f"pending: {', '.join(pending)}; made on first use or by `async-task migrate`"
        findings.add(NOTE, "schema", what)
        return False
    findings.add(OK, "schema", "up to date")
    return True


async def _server(driver: QueueDriver, findings: Findings) -> None:
    try:
        async with driver:
            began = time.perf_counter()
            await driver.driver.ping()
            took_ms = (time.perf_counter() - began) * 1000
            findings.add(OK, "backend", f"answers in {took_ms:.1f} ms")
            findings.add(OK, "capabilities", _described(driver.driver.capabilities))
            await driver.connect_stores()
            findings.add(OK, "results", _whose(driver, driver.results))
            findings.add(OK, "control", _whose(driver, driver.control))
    except AsyncTaskError as exc:
        findings.add(FAILED, "backend", str(exc))


def _whose(driver: QueueDriver, facet: Results | Control | None) -> str:
    """Say which driver has a facet of this one."""
    if facet is None:
        return "none"
    if isinstance(facet, ResultsElsewhere | ControlElsewhere):
        return f"in {facet.store.name}"
    return f"in {driver.name} itself"


def _described(able: Capabilities) -> str:
    """Say what a backend does by itself."""
    native = sorted(facet.value for facet in able.facets)
    native += [
        name
        for name in (
            "fence",
            "atomic_settle",
            "idempotent_enqueue",
            "recoverable_lease",
            "dead_letters_by_id",
        )
        if getattr(able, name)
    ]
    limits = [
        f"{able.priorities} priorities",
        f"delays in {able.delay.name.lower()}" if able.delay else "no delays",
        f"batches of {able.max_batch or 'any size'}",
        f"bodies of {f'{able.max_body} bytes' if able.max_body else 'any size'}",
    ]
    return f"{', '.join(native)}\n{', '.join(limits)}"
