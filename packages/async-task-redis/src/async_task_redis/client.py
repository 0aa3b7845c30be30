"""Sending calls to where their keys are."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from async_task.spi.errors import DriverError, OutcomeUnknownError
from redis.exceptions import NoScriptError

from async_task_redis.connection import Connection
from async_task_redis.failures import REFUSALS, moved_on, refused
from async_task_redis.scripts import in_full

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_task_redis.connection import Slots
    from async_task_redis.dialing import Dial
    from async_task_redis.keys import QueueKeys
    from async_task_redis.wire import Command, Reply, Wire


class Client(Protocol):
    """A way to the server or servers, for one event loop and one purpose."""

    async def run(
        self,
        calls: Sequence[tuple[QueueKeys, Command]],
        *,
        within_s: float | None = None,
        wait_s: float = 0,
    ) -> list[Reply | DriverError]:
        """Send commands, each to where its queue's keys are, and return replies or errors.

        Args:
            calls: Whose keys it uses, and the command.
            within_s: Instead of the bound of a call.
            wait_s: How long after that the server may wait by itself before it answers.
        """
        ...

    def groups(self, queues: Sequence[QueueKeys]) -> list[list[QueueKeys]]:
        """Split queues, in order, into those that one command may name together."""
        ...

    async def anywhere(self, deadline: float) -> Wire:
        """Return a connection to any node, for publish and subscribe."""
        ...

    def open(self) -> None:
        """Let calls connect; before that, and after `close`, they fail."""
        ...

    async def close(self) -> None:
        """Let go of all connections; what waits for them fails.

        They are let go of before the first wait, so that no cancellation leaves one behind.
        """
        ...


async def run_all(
    client: Client, calls: Sequence[tuple[QueueKeys, Command]], *, wait_s: float = 0
) -> list[Reply]:
    """Send commands and return their replies.

    Raises:
        OutcomeUnknownError: Of some the outcome is unknown, or some were carried out and others
            might be if all were repeated.
        DriverError: None was carried out.
    """
    if not calls:
        return []
    replies = await client.run(calls, wait_s=wait_s)
    errors = [reply for reply in replies if isinstance(reply, DriverError)]
    if not errors:
        return replies
    if len(errors) < len(replies) and errors[0].retryable:
        raise OutcomeUnknownError(f"a part of the call was carried out: {errors[0]}") from errors[0]
    raise next((error for error in errors if isinstance(error, OutcomeUnknownError)), errors[0])


async def run_one(client: Client, keys: QueueKeys, command: Command, *, wait_s: float = 0) -> Reply:
    """Send one command and return its reply, or raise."""
    [reply] = await client.run([(keys, command)], wait_s=wait_s)
    if isinstance(reply, DriverError):
        raise reply
    return reply


async def exchange(
    connection: Connection, commands: Sequence[Command], *, deadline: float, wait_s: float = 0
) -> list[Reply]:
    """Send commands to one server; a script it does not know is sent in full.

    Replies may be `REFUSALS`. Every command's outcome is said: done, or not.
    """
    replies = await connection.call(commands, deadline=deadline, wait_s=wait_s)
    unknown = [at for at, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
    if unknown:  # it was refused, so this is no second sending
        again = await connection.call(
            [in_full(commands[at]) for at in unknown], deadline=deadline, wait_s=wait_s
        )
        for at, reply in zip(unknown, again, strict=True):
            replies[at] = reply
    return replies


class SingleClient:
    """The `Client` of one server, or of the one that its Sentinels name.

    Args:
        name: Where it is, for messages.
        dial: Connects to it.
        op_timeout_s: Bound of one call.
        slots: Counts connections.
    """

    def __init__(self, name: str, dial: Dial, op_timeout_s: float, slots: Slots) -> None:
        self._name = name
        self._op_timeout_s = op_timeout_s
        self._connection = Connection(dial, slots)

    async def run(
        self,
        calls: Sequence[tuple[QueueKeys, Command]],
        *,
        within_s: float | None = None,
        wait_s: float = 0,
    ) -> list[Reply | DriverError]:
        """Send all in one piece."""
        deadline = asyncio.get_running_loop().time() + (within_s or self._op_timeout_s)
        commands = [command for _, command in calls]
        try:
            replies = await exchange(self._connection, commands, deadline=deadline, wait_s=wait_s)
        except DriverError as error:
            return [error] * len(calls)
        for at, reply in enumerate(replies):
            if isinstance(reply, REFUSALS):
                replies[at] = refused(reply, self._name)
                if moved_on(reply):
                    self._connection.drop("is not the one to ask any more")
        return replies

    def groups(self, queues: Sequence[QueueKeys]) -> list[list[QueueKeys]]:
        """Return one group: one server holds all keys."""
        return [list(queues)]

    async def anywhere(self, deadline: float) -> Wire:
        """Return the connection."""
        return await self._connection.wire(deadline)

    def open(self) -> None:
        """Let calls connect."""
        self._connection.open()

    async def close(self) -> None:
        """Let go of the connection."""
        self._connection.end()
        await self._connection.closed()
