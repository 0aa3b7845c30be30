"""What `async-task worker` asks of the garbage collector."""

import gc
from collections.abc import Generator

import pytest
from async_task.cli.worker import YOUNG_OBJECTS, _spare_collector


@pytest.fixture(autouse=True)
def _restored() -> Generator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


def test_it_looks_less_often_and_not_at_what_is_there() -> None:
    gc.set_threshold(700, 10, 10)
    _spare_collector()
    assert gc.get_threshold()[0] == YOUNG_OBJECTS
    assert gc.get_freeze_count() > 0


@pytest.mark.parametrize("own", [0, 50_000])
def test_what_an_application_has_set_stays(own: int) -> None:
    gc.set_threshold(own, 10, 10)
    _spare_collector()
    assert gc.get_threshold()[0] == own
