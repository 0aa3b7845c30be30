"""The portable driver: what applications hold, whatever the backend."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from async_task.config import Config, check_queue
from async_task.core.dead_letters import DeadTasks
from async_task.core.elsewhere import ControlElsewhere, ResultsElsewhere, stores_of
from async_task.errors import ConfigurationError, UnsupportedError
from async_task.plugins.manager import plugins, resolve
from async_task.spi.driver import DriverOptions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from async_task.spi.driver import Driver
    from async_task.spi.facets import Control, Results
    from async_task.spi.messages import QueueStats


class QueueDriver:
    """A backend, chosen and set up by a `Config`.

    Connecting and disconnecting are idempotent; an async `with` does both. One instance belongs to
    one event loop at a time.

    Attributes:
        name: The driver's name, for example `"sqlite"`.
        config: The configuration it was made from.
        driver: The driver interface's own object, for what has no portable form.
        stores: The other drivers that keep results or control for this one, each once.
    """

    def __init__(self, driver: Driver, *, name: str, config: Config) -> None:
        self.driver = driver
        self.name = name
        self.config = config
        stores = stores_of(self)
        self.stores = tuple(dict.fromkeys(stores.values()))
        self._results_elsewhere = self._control_elsewhere = None
        if "results" in stores:
            self._results_elsewhere = ResultsElsewhere(stores["results"])
        if "control" in stores:
            self._control_elsewhere = ControlElsewhere(
                stores["control"], self.results, self.unsupported
            )
        self._connected = False
        self._connecting = asyncio.Lock()

    @classmethod
    def from_config(cls, config: Config, *, name: str | None = None) -> Self:
        """Make the driver a configuration chooses, or the one named; does no I/O."""
        chosen = config if name is None else config.replace(driver=name)
        info = chosen.driver_info()
        own = _own_visibility(chosen, info.name)
        if own is not None and own < 1:
            msg = f"{info.name}_visibility_timeout_seconds must be at least 1, not {own}"
            raise ConfigurationError(msg)
        options = DriverOptions(
            namespace=chosen.namespace, op_timeout_ms=int(chosen.op_timeout * 1000)
        )
        driver: Driver = resolve(info.factory)(chosen.driver_settings(info), options)
        return cls(driver, name=info.name, config=chosen)

    def is_same_store(self, other: QueueDriver) -> bool:
        """Say whether another driver keeps its messages in the same place."""
        return self._identity == other._identity

    @property
    def _identity(self) -> tuple[object, ...]:
        info = plugins().driver(self.name)
        return self.name, self.config.namespace, self.config.driver_settings(info)

    @property
    def visibility_ms(self) -> int:
        """How long this driver's leases hold without renewal, in milliseconds."""
        own = _own_visibility(self.config, self.name)
        return int((own or self.config.visibility_timeout) * 1000)

    @property
    def results(self) -> Results | None:
        """Where outcomes are kept: in the driver, or where `results=` says; None for nowhere."""
        return self.driver.results or self._results_elsewhere

    @property
    def control(self) -> Control | None:
        """What cancels and pauses: the driver, or what `control=` names; None for nothing."""
        return self.driver.control or self._control_elsewhere

    @property
    def dead_letters(self) -> DeadTasks:
        """What was given up on, to look at, requeue or purge.

        Raises:
            UnsupportedError: The backend keeps none.
        """
        if self.driver.dead_letters is None:
            raise self.unsupported("dead_letters", "keeps no dead letters")
        return DeadTasks(self.driver.dead_letters, self.connect)

    async def connect(self) -> None:
        """Open the backend.

        Raises:
            ConfigurationError: It cannot serve as configured; says what to do.
            DriverError: It cannot be reached.
        """
        if self._connected:
            return
        async with self._connecting:
            if not self._connected:
                await self.driver.open()
                self._connected = True

    async def connect_stores(self) -> None:
        """Open the other drivers too, which otherwise happens when one is first needed.

        Raises:
            ConfigurationError, DriverError: As `connect`.
        """
        for store in self.stores:
            await store.connect()

    async def disconnect(self) -> None:
        """Close the backend, and the other drivers."""
        async with self._connecting:
            if self._connected:
                self._connected = False
                await self.driver.close()
        self._connecting = asyncio.Lock()  # the old one is bound to this loop, if it ever blocked
        for store in self.stores:
            await store.disconnect()

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.disconnect()

    async def get_queue_size(
        self, queue: str, *, include_delayed: bool = True, include_in_flight: bool = False
    ) -> int:
        """Count the tasks of a queue that wait, and those asked for besides.

        Args:
            queue: A queue name.
            include_delayed: Count also tasks that wait for their time.
            include_in_flight: Count also tasks that workers hold.
        """
        stats = (await self.stats([queue]))[0]
        size = stats.ready or 0
        if include_delayed:
            size += stats.delayed or 0
        if include_in_flight:
            size += stats.leased or 0
        return size

    async def stats(self, queues: Sequence[str]) -> Sequence[QueueStats]:
        """Count queues, aligned with `queues`; a count the backend cannot know is `None`."""
        for queue in queues:
            check_queue(queue)
        await self.connect()
        return await self.driver.stats(queues)

    async def queues(self) -> Sequence[str]:
        """List the queues that exist.

        Raises:
            UnsupportedError: The backend cannot list them.
        """
        return await (await self._control("cannot list its queues; name them")).queues()

    async def _control(self, without: str) -> Control:
        """Return the facet, connected; `without` says what cannot be done where there is none."""
        if self.control is None:
            raise self.unsupported("control", without)
        await self.connect()
        return self.control

    async def pause(self, queue: str) -> None:
        """Have no worker take tasks of a queue until it is resumed; what runs goes on.

        Raises:
            UnsupportedError: The backend cannot pause queues.
        """
        await (await self._control("cannot pause queues")).pause(check_queue(queue))

    async def resume(self, queue: str) -> None:
        """Undo `pause`.

        Raises:
            UnsupportedError: The backend cannot pause queues.
        """
        await (await self._control("cannot pause queues")).resume(check_queue(queue))

    async def paused(self) -> Sequence[str]:
        """List the queues that are paused.

        Raises:
            UnsupportedError: The backend cannot pause queues.
        """
        return await (await self._control("cannot pause queues")).paused()

    async def purge(self, queue: str) -> int:
        """Delete the waiting and delayed tasks of a queue; returns how many."""
        await self.connect()
        return await self.driver.purge(check_queue(queue))

    def unsupported(self, capability: str, what: str) -> UnsupportedError:
        """Return the error that says this backend cannot do something."""
        msg = f"driver {self.name!r} {what}"
        if capability in ("results", "control") and getattr(self, capability) is None:
            msg += f"; set {capability}= to the name or URL of one that does, redis for example"
        return UnsupportedError(msg, capability=capability, driver=self.name)

    def __repr__(self) -> str:
        return f"<QueueDriver {self.name}>"


def _own_visibility(config: Config, name: str) -> int | None:
    return getattr(config, f"{name}_visibility_timeout_seconds", None)
