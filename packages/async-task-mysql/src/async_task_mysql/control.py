"""Looking at single messages and steering whole queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_task.spi.messages import MessageState

from async_task_mysql.template import listed
from async_task_mysql.wakeup import MESSAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from async_task_mysql.client import Outcome
    from async_task_mysql.store import Store


class MysqlControl:
    """The `Control` facet."""

    def __init__(self, store: Callable[[], Store]) -> None:
        self._store = store

    async def queues(self) -> Sequence[str]:
        """List the queues that were provisioned or hold anything, sorted."""
        store = self._store()
        return await self._names(store, store.queries.queue_names())

    async def status(self, ids: Sequence[bytes]) -> Sequence[MessageState | None]:
        """Say where messages are, aligned with `ids`; a seek each."""
        store = self._store()
        if not ids:
            return []
        outcomes = await store.connections.read(store.queries.status(ids=listed(sorted(set(ids)))))
        return _states(outcomes, ids)

    async def cancel(self, ids: Sequence[bytes]) -> Sequence[MessageState | None]:
        """Cancel messages in one transaction; see `Control.cancel`.

        Waits for a message that a transaction of its own task has locked, at most `op_timeout`.
        """
        store = self._store()
        if not ids:
            return []
        wanted = sorted(set(ids))
        items = ",".join(f'["{i.hex()}"]' for i in wanted)
        [_, *outcomes] = await store.connections.write(
            store.queries.cancel(items=f"[{items}]", ids=listed(wanted))
        )
        return _states(outcomes, ids)

    async def pause(self, queue: str) -> None:
        """Hand out nothing of this queue until it is resumed."""
        await self._set_paused(queue, paused=True)

    async def resume(self, queue: str) -> None:
        """Undo `pause`."""
        await self._set_paused(queue, paused=False)
        self._store().wakeup.announce(MESSAGES)

    async def paused(self) -> Sequence[str]:
        """List the names of the paused queues, sorted."""
        store = self._store()
        return await self._names(store, store.queries.paused())

    async def _set_paused(self, queue: str, *, paused: bool) -> None:
        store = self._store()
        await store.connections.write(store.queries.set_paused(queue=queue, paused=paused))

    async def _names(self, store: Store, script: str) -> list[str]:
        [names] = await store.connections.read(script)
        return sorted(name for (name,) in names.rows)


def _states(outcomes: Sequence[Outcome], ids: Sequence[bytes]) -> list[MessageState | None]:
    _, found, dead, *_ = outcomes
    states = {id_: MessageState(state) for id_, state in (*dead.rows, *found.rows)}
    return [states.get(i) for i in ids]
