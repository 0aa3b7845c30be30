"""kill -9 at every point around a transactional end: the effects of a task happen exactly once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from async_task import Dispatcher, QueueDriver
from async_task.config import Config
from async_task.testing.servers.base import LocalServer
from callers import DATABASES

from faults.history import History
from faults.ledger import POINTS, pay
from faults.scene import SETTINGS
from faults.waiting import until
from faults.workers import Fleet

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("name", DATABASES)
async def test_the_ledger_has_every_task_once(
    name: str,
    tmp_path: Path,
    url_of: Callable[[type[LocalServer]], str],
    size: Callable[[int, int], int],
) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    with DATABASES[name](tmp_path, url_of) as database:
        # The shortest lease there is: every kill costs one.
        config = SETTINGS | database.settings | {"visibility_timeout": 1.0, "op_timeout": 5.0}
        url = database.settings.get("sqlite_path") or database.settings[f"{name}_dsn"]
        history = History(tmp_path / "history.txt")
        fleet = Fleet(config, history)
        try:
            async with QueueDriver.from_config(Config(**config)) as driver:
                dispatcher = Dispatcher(driver)
                kills = [point for point in range(POINTS) for _ in range(size(1, 25))]
                calls = [
                    pay(name, url, database.ledger, point, str(marks)) for point in [*kills, 99]
                ]
                ids = [str(handle) for handle in await dispatcher.dispatch_many(calls)]
                for _ in range(4):
                    fleet.start(concurrency=1, modules=["faults.ledger"])

                async def worked_off() -> bool:
                    fleet.mend(modules=["faults.ledger"], concurrency=1)
                    (stats,) = await driver.stats(["default"])
                    return (stats.ready, stats.delayed, stats.leased) == (0, 0, 0)

                await until(worked_off, "everything is worked off", within_s=300)
                assert await driver.dead_letters.browse("default") == []
        finally:
            fleet.close()
            for log in fleet.logs:
                print(log[-2000:])
        async with database.kinds["connection"]() as caller:
            sql = f"SELECT entry FROM {database.ledger}"
            entries = [entry for (entry,) in caller.connection.exec_driver_sql(sql)]
        assert sorted(entries) == sorted(ids)
        assert len(list(marks.iterdir())) == len(kills)  # each has died once
