"""What is declared without importing the driver."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from async_task.spi.driver import DriverOptions
from async_task.spi.errors import ConfigurationError
from async_task_postgres.driver import PostgresDriver
from async_task_postgres.names import Names
from async_task_postgres.settings import PostgresSettings

DSN = "postgresql://me:secret@db.example:5433/app"


def test_a_url_is_the_dsn() -> None:
    assert PostgresSettings.make(**PostgresSettings.from_url(DSN)).dsn == DSN


def test_a_repr_shows_no_password() -> None:
    assert "secret" not in repr(PostgresSettings(dsn=DSN))


@pytest.mark.parametrize(
    "dsn", [None, "", "host=db password=secret", "postgresql+asyncpg://secret@db"]
)
def test_what_is_no_url_of_a_database_is_refused(dsn: str | None) -> None:
    with pytest.raises(ConfigurationError, match="postgres_dsn") as caught:
        PostgresSettings(dsn=dsn)
    assert "secret" not in str(caught.value)


def test_a_broken_url_is_refused_without_showing_it() -> None:
    settings = PostgresSettings(dsn="postgresql://me:secret[@db/app")
    with pytest.raises(ConfigurationError, match="percent-encode") as caught:
        PostgresDriver(settings, DriverOptions())
    assert "secret" not in repr(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("table", ["", ".", "a.", ".a", "a.b.c", "x" * 64, "n\0l"])
@pytest.mark.parametrize("setting", ["queue_table", "dead_letter_table"])
def test_a_table_that_cannot_be_is_refused(setting: str, table: str) -> None:
    values: dict[str, Any] = {setting: table}
    with pytest.raises(ConfigurationError, match=f"postgres_{setting}"):
        PostgresSettings(dsn=DSN, **values)


@pytest.mark.parametrize(("least", "most"), [(-1, 1), (2, 1), (0, 0)])
def test_pool_sizes_that_do_not_fit_are_refused(least: int, most: int) -> None:
    with pytest.raises(ConfigurationError, match="pool_size"):
        PostgresSettings(dsn=DSN, min_pool_size=least, max_pool_size=most)


@pytest.mark.parametrize("dead", ["jobs", "jobs_results", "jobs_queues", "jobs_schema"])
def test_dead_letters_need_a_table_of_their_own(dead: str) -> None:
    settings = PostgresSettings(dsn=DSN, queue_table="jobs", dead_letter_table=dead)
    with pytest.raises(ConfigurationError, match="another name"):
        Names.of(settings, "")


def test_the_longest_namespace_fits_the_usual_tables() -> None:
    assert Names.of(PostgresSettings(dsn=DSN), "n" * 40).queue == f'"{"n" * 40}_task_queue"'


def test_names_that_would_be_cut_short_are_refused() -> None:
    settings = PostgresSettings(dsn=DSN, queue_table="q" * 40)
    with pytest.raises(ConfigurationError, match="shorten"):
        Names.of(settings, "n" * 40)


def test_declaring_imports_no_driver() -> None:
    script = (
        "import sys, async_task_postgres.plugin, async_task_postgres.settings\n"
        "[info] = async_task_postgres.plugin.async_task_drivers()\n"
        "assert info.name == 'postgres' and info.spi_version == 1, info\n"
        "print({'asyncpg', 'asyncio', 'async_task_postgres.driver'} & sys.modules.keys() or 'none')"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "none\n"
