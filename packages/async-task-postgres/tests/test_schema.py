"""Making the tables, under names and roles of all kinds."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest
from async_task.spi.driver import ConsumerOptions
from async_task.spi.errors import AccessDeniedError, ConfigurationError, DriverError
from async_task.spi.messages import Ack, Message, Reject
from async_task.testing.servers.postgres import PostgresServer

pytestmark = pytest.mark.anyio
Make = Callable[..., Any]
PASSWORD = "p@ss:w/rd%41?#[]"


async def works(driver: Any) -> None:
    """Take two messages through all tables."""
    await driver.open()
    try:
        await driver.enqueue([Message(os.urandom(16), "q", body) for body in (b"1", b"2")])
        async with driver.consumer(ConsumerOptions(queues=("q",), max_leases=2)) as consumer:
            one, two = await consumer.lease(
                ("q",), 2, wait_ms=0, lease_id=os.urandom(16), visibility_ms=1000
            )
            assert not await consumer.settle([Ack(one), Reject(two, "failed", b"")])
        assert [letter.id for letter in await driver.dead_letters.browse("q", limit=9)] == [two.id]
        assert list(await driver.control.queues()) == ["q"]
        await driver.maintain()
    finally:
        await driver.close()


async def test_opening_makes_what_is_not_there(make: Make) -> None:
    await works(make())


async def test_eight_processes_may_open_at_once(make: Make, server: PostgresServer) -> None:
    script = (
        "import asyncio, sys\n"
        "from async_task.spi.driver import DriverOptions\n"
        "from async_task_postgres.driver import PostgresDriver\n"
        "from async_task_postgres.settings import PostgresSettings\n"
        "async def main():\n"
        "    driver = PostgresDriver(PostgresSettings(dsn=sys.argv[1]), DriverOptions())\n"
        "    print(*await driver.migrations.apply())\n"
        "    await driver.open()\n"
        "    await driver.close()\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-W", "error", "-c", script, server.url]
    pipe = asyncio.subprocess.PIPE
    runs = [
        await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe) for _ in range(8)
    ]
    answers = [await run.communicate() for run in runs]
    assert [error for _, error in answers] == [b""] * 8
    assert sorted(names for names, _ in answers) == [b"\n"] * 7 + [b"0001_initial\n"]


@pytest.mark.parametrize(
    ("queue", "dead"),
    [
        ('we"ird; DROP TABLE x; --', "{dead} % $1 \\ 'letters'"),
        ("select", "Größe"),
        ("home.queue", "home.dead"),
        ('ho"me.task_queue', "dead_letter_queue"),
    ],
)
async def test_any_names_will_do(
    make: Make, admin: asyncpg.Connection, queue: str, dead: str
) -> None:
    await admin.execute('CREATE SCHEMA IF NOT EXISTS home; CREATE SCHEMA IF NOT EXISTS "ho""me"')
    driver = make(queue_table=queue, dead_letter_table=dead)
    await works(driver)
    rows = await admin.fetch(
        "SELECT nspname || '.' || relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace"
        " WHERE relkind = 'r' AND nspname IN ('public', 'home', 'ho\"me')"
    )
    tables = {name if "." in name else f"public.{name}" for name in (queue, dead)}
    assert tables <= {name for (name,) in rows}
    await admin.execute('DROP SCHEMA home, "ho""me" CASCADE')


async def test_the_script_makes_the_same_as_applying(make: Make, admin: asyncpg.Connection) -> None:
    driver = make()
    await admin.execute(driver.migrations.sql())
    assert list(await driver.migrations.pending()) == []
    await works(driver)


async def test_what_is_pending_is_not_applied_unasked(
    make: Make, admin: asyncpg.Connection
) -> None:
    driver = make()
    await driver.migrations.apply()
    await admin.execute("DELETE FROM task_queue_schema; INSERT INTO task_queue_schema VALUES ('0')")
    driver.migrations._scripts["0002_next"] = "SELECT 1"
    await admin.execute("INSERT INTO task_queue_schema VALUES ('0001_initial')")
    with pytest.raises(ConfigurationError, match=r"0002_next.*async-task migrate"):
        await driver.open()
    assert list(await driver.migrations.apply()) == ["0002_next"]
    await works(driver)


async def test_the_schema_of_a_newer_release_will_do(make: Make, admin: asyncpg.Connection) -> None:
    await make().migrations.apply()
    await admin.execute("INSERT INTO task_queue_schema VALUES ('9999_newer')")
    await admin.execute("ALTER TABLE task_queue ADD COLUMN newer integer NOT NULL DEFAULT 0")
    await works(make())


async def test_a_table_of_somebody_else_is_left_alone(
    make: Make, admin: asyncpg.Connection
) -> None:
    await admin.execute("CREATE TABLE task_queue (payload text)")
    with pytest.raises(ConfigurationError, match="postgres_queue_table"):
        await make().open()
    assert await admin.fetch("SELECT payload FROM task_queue") == []


async def test_a_schema_that_is_not_there_is_named(make: Make) -> None:
    with pytest.raises(ConfigurationError, match="nowhere"):
        await make(queue_table="nowhere.tasks").open()


async def test_a_role_that_may_not_make_tables_is_told_what_to_do(
    make: Make, admin: asyncpg.Connection, server: PostgresServer
) -> None:
    await admin.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC; CREATE ROLE poor LOGIN")
    poor = make(dsn=server.url.replace("postgres@", "poor@"))
    with pytest.raises(ConfigurationError, match="async-task migrate"):
        await poor.open()
    await make().migrations.apply()
    with pytest.raises(AccessDeniedError, match="grant"):
        await poor.open()
    await admin.execute("GRANT SELECT ON task_queue_schema TO poor")
    await poor.open()
    with pytest.raises(AccessDeniedError, match="grant"):
        await poor.enqueue([Message(os.urandom(16), "q", b"")])
    await poor.close()
    await admin.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO poor")
    await works(poor)
    await admin.execute("DROP OWNED BY poor; DROP ROLE poor")


async def test_tables_that_vanish_are_an_error_that_says_so(
    driver: Any, admin: asyncpg.Connection
) -> None:
    await admin.execute("DROP TABLE task_queue")
    with pytest.raises(DriverError, match="async-task migrate"):
        await driver.enqueue([Message(os.urandom(16), "q", b"")])


async def test_a_database_that_is_not_there_is_named(make: Make, server: PostgresServer) -> None:
    with pytest.raises(ConfigurationError, match="nowhere"):
        await make(dsn=server.url.replace("/test", "/nowhere")).open()


async def test_a_password_may_hold_anything_and_is_never_shown(
    make: Make, admin: asyncpg.Connection, server: PostgresServer
) -> None:
    hba = server.folder / "data" / "pg_hba.conf"
    before = hba.read_text()
    await admin.execute(f"CREATE ROLE secretive LOGIN SUPERUSER PASSWORD '{PASSWORD}'")
    hba.write_text("host all secretive all scram-sha-256\n" + before)
    await admin.execute("SELECT pg_reload_conf()")
    right, wrong = (
        make(dsn=server.url.replace("postgres@", f"secretive:{quote(word, safe='')}@"))
        for word in (PASSWORD, "other" + PASSWORD)
    )
    await works(right)
    with pytest.raises(AccessDeniedError, match="postgres_dsn") as caught:
        await wrong.open()
    for error in (caught.value, caught.value.__cause__):
        assert PASSWORD not in repr(error)
        assert quote(PASSWORD, safe="") not in repr(error)
    hba.write_text(before)
    await admin.execute("SELECT pg_reload_conf(); DROP OWNED BY secretive; DROP ROLE secretive")
