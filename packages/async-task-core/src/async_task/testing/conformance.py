"""The definition of a driver: one class to inherit.

```python
class TestKafka(DriverConformance):
    capabilities = plugin.CAPABILITIES

    @pytest.fixture
    async def harness(self) -> AsyncIterator[DriverHarness]:
        harness = KafkaHarness(url=os.environ["ASYNC_TASK_TEST_KAFKA_URL"])
        yield harness
        await harness.aclose()
```

Tests that need what `capabilities` does not declare are skipped and say so. A rule that a driver
knowingly breaks is listed in `deviations` and must then fail; nothing can be left out silently.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from async_task.testing.aspects.concurrency import Concurrency
from async_task.testing.aspects.control import Controlling
from async_task.testing.aspects.counting import Counting
from async_task.testing.aspects.crashes import Crashes
from async_task.testing.aspects.dead_letters import DeadLetterKeeping
from async_task.testing.aspects.delays import Delays
from async_task.testing.aspects.enqueueing import Enqueueing
from async_task.testing.aspects.expiry import Expiry
from async_task.testing.aspects.extension import Extending
from async_task.testing.aspects.histories import Histories
from async_task.testing.aspects.honesty import Honesty
from async_task.testing.aspects.leasing import Leasing
from async_task.testing.aspects.limits import Limits
from async_task.testing.aspects.migrating import Migrating
from async_task.testing.aspects.priorities import Priorities
from async_task.testing.aspects.resilience import Resilience
from async_task.testing.aspects.results import ResultKeeping
from async_task.testing.aspects.settling import Settling
from async_task.testing.rig import Rig
from async_task.testing.selection import select

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from async_task.spi.capabilities import Capabilities
    from async_task.testing.harness import DriverHarness


class DriverConformance(
    Enqueueing,
    Leasing,
    Settling,
    Extending,
    Delays,
    Priorities,
    Expiry,
    Crashes,
    DeadLetterKeeping,
    ResultKeeping,
    Controlling,
    Counting,
    Limits,
    Concurrency,
    Resilience,
    Honesty,
    Migrating,
    Histories,
):
    """All rules of the driver interface, as tests.

    A subclass sets `capabilities` and overrides the fixture `harness`.

    Attributes:
        capabilities: What the driver's plug-in declares.
        deviations: Test name, with or without its parameters in brackets -> why this driver does
            otherwise. Such a test must fail.
    """

    pytestmark: ClassVar = [pytest.mark.anyio, pytest.mark.async_task_conformance]
    capabilities: Capabilities
    deviations: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        standard = {name for name in dir(DriverConformance) if name.startswith("test_")}
        replaced = sorted(
            name
            for name in standard
            if getattr(cls, name, None) is not getattr(DriverConformance, name)
        )
        if replaced:
            raise TypeError(
                f"{cls.__name__} replaces {', '.join(replaced)}: a rule of the suite stays as it "
                "is; list the test in `deviations` with the reason why this driver breaks it."
            )
        unknown = sorted({name.partition("[")[0] for name in cls.deviations} - standard)
        if unknown:
            raise TypeError(
                f"{cls.__name__}.deviations names {', '.join(unknown)}: there is no such test."
            )

    @classmethod
    def configure(cls, config: pytest.Config) -> None:
        """Learn from the command line what is not known at import; for `async_task.testing.run`."""

    @pytest.fixture
    def anyio_backend(self) -> str:
        """Run on asyncio, whatever else the author's tests run on."""
        return "asyncio"

    @pytest.fixture
    def harness(self) -> DriverHarness:
        """Return a harness, or yield one and close it; to be overridden, async or not."""
        raise NotImplementedError(f"{type(self).__name__} must override the fixture `harness`.")

    @pytest.fixture
    async def rig(self, harness: DriverHarness) -> AsyncIterator[Rig]:
        """Open a driver on a fresh namespace."""
        async with Rig.of(harness, await harness.make()) as rig:
            yield rig


def choose(config: pytest.Config, item: pytest.Item) -> None:
    """Mark one collected test of the suite by what its class declares."""
    suite = getattr(item, "cls", None)
    if not isinstance(item, pytest.Function) or not isinstance(suite, type):
        return
    assert issubclass(suite, DriverConformance)
    suite.configure(config)
    if not hasattr(suite, "capabilities"):
        raise pytest.UsageError(
            f"{suite.__name__} must set `capabilities` to what its plug-in declares."
        )
    select(item, suite)
