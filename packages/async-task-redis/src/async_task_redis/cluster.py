"""Finding the node of a cluster that holds a queue."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from async_task.spi.errors import (
    ConfigurationError,
    ConnectionLostError,
    DriverError,
    OutcomeUnknownError,
)
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import AskError, MovedError, NoScriptError

from async_task_redis.client import exchange
from async_task_redis.connection import Connection
from async_task_redis.dialing import dial, in_turn
from async_task_redis.failures import REFUSALS, moved_on, refused
from async_task_redis.scripts import in_full

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from async_task_redis.address import Address, Host
    from async_task_redis.connection import Slots
    from async_task_redis.keys import QueueKeys
    from async_task_redis.wire import Command, Reply, Wire

_MOVED: Final = object()
"""Stands where a reply will: the command goes to another node."""

_REDIRECTIONS: Final = 3
"""How often one call follows a slot to another node: once is normal, twice while one is moved."""


class ClusterClient:
    """The `Client` of a Redis Cluster: a connection to each node that is needed.

    Args:
        address: A node that is asked for all others; those that it names are asked later.
        op_timeout_s: Bound of one call.
        slots: Counts connections.
    """

    def __init__(self, address: Address, op_timeout_s: float, slots: Slots) -> None:
        self._seed = address
        self._op_timeout_s = op_timeout_s
        self._slots = slots
        self._nodes: dict[Host, Connection] = {}
        self._holders: dict[int, Host] = {}  # of slots; empty until it was read
        self._moved: dict[int, Host] = {}  # what was learned since that was read
        self._reading = asyncio.Lock()
        self._closed = True

    async def run(
        self,
        calls: Sequence[tuple[QueueKeys, Command]],
        *,
        within_s: float | None = None,
        wait_s: float = 0,
    ) -> list[Reply | DriverError]:
        """Send to each node its commands in one piece, to all nodes at once."""
        deadline = asyncio.get_running_loop().time() + (within_s or self._op_timeout_s)
        replies: list[Reply | DriverError] = [None] * len(calls)
        left: Sequence[int] = range(len(calls))
        for _ in range(_REDIRECTIONS):
            by_node: dict[Host, list[int]] = {}
            try:
                for at in left:
                    node = await self._node_of(calls[at][0], deadline)
                    by_node.setdefault(node, []).append(at)
            except DriverError as error:
                for at in left:
                    replies[at] = error
                return replies
            await asyncio.gather(
                *(
                    self._run_on(node, {at: calls[at] for at in its}, replies, deadline, wait_s)
                    for node, its in by_node.items()
                )
            )
            left = [at for at in left if replies[at] is _MOVED]
            if not left:
                return replies
        for at in left:
            replies[at] = DriverError(f"{self._seed}: its slots are being moved", retryable=True)
        return replies

    def groups(self, queues: Sequence[QueueKeys]) -> list[list[QueueKeys]]:
        """Return each queue by itself: each has a slot of its own."""
        return [[queue] for queue in queues]

    async def anywhere(self, deadline: float) -> Wire:
        """Return a connection to a node; what is published reaches all of them."""
        problems: list[str] = []
        for node, until in in_turn(self._known(), deadline):
            try:
                return await self._connection(node).wire(until)
            except DriverError as error:
                problems.append(str(error))
        raise ConnectionLostError("; ".join(problems))

    def open(self) -> None:
        """Let calls connect."""
        self._closed = False
        for connection in self._nodes.values():  # of calls that failed since it was closed
            connection.open()

    async def close(self) -> None:
        """Let go of all connections."""
        self._closed = True
        nodes, self._nodes = self._nodes, {}
        for connection in nodes.values():
            connection.end()
        for connection in nodes.values():
            await connection.closed()

    async def _run_on(
        self,
        node: Host,
        calls: Mapping[int, tuple[QueueKeys, Command]],
        replies: list[Reply | DriverError],
        deadline: float,
        wait_s: float,
    ) -> None:
        """Fill in the replies of one node, by position."""
        connection = self._connection(node)
        try:
            commands = [command for _, command in calls.values()]
            answers = await exchange(connection, commands, deadline=deadline, wait_s=wait_s)
        except DriverError as error:
            self._forget()
            for at in calls:
                replies[at] = error
            return
        for (at, (keys, command)), answer in zip(calls.items(), answers, strict=True):
            if isinstance(answer, AskError) and not isinstance(answer, MovedError):
                answer = await self._ask(_target(answer, node), command, deadline)
            if not isinstance(answer, REFUSALS):
                replies[at] = answer
            elif isinstance(answer, MovedError):
                self._moved[_slot_of(keys)] = _target(answer, node)
                replies[at] = _MOVED
            else:
                replies[at] = refused(answer, str(self._seed.at(node)))
                if moved_on(answer):
                    connection.drop("is not the one to ask any more")
                    self._forget()

    async def _ask(self, node: Host, command: Command, deadline: float) -> Reply | DriverError:
        """Repeat a refused command on the node that its slot is being moved to."""
        connection = self._connection(node)
        try:
            _, answer = await connection.call([("ASKING",), command], deadline=deadline)
            if isinstance(answer, NoScriptError):
                full = in_full(command)
                _, answer = await connection.call([("ASKING",), full], deadline=deadline)
        except DriverError as error:
            return error
        return answer

    async def _node_of(self, keys: QueueKeys, deadline: float) -> Host:
        slot = _slot_of(keys)
        if slot in self._moved:
            return self._moved[slot]
        holders = self._holders or await self._read_topology(deadline)
        if slot not in holders:
            self._forget()
            raise DriverError(f"{self._seed}: no node holds slot {slot}", retryable=True)
        return holders[slot]

    async def _read_topology(self, deadline: float) -> dict[int, Host]:
        """Ask the nodes known so far who holds which slots, once for all who wait.

        Raises:
            ConfigurationError: It is no cluster.
            ConnectionLostError: None answers.
            DriverError: One does not let us ask.
        """
        try:
            async with asyncio.timeout_at(deadline), self._reading:
                if not self._holders:
                    self._holders = await self._ask_for_holders(deadline)
                return self._holders
        except TimeoutError:
            raise ConnectionLostError(
                f"{self._seed} cannot be reached: no answer in time"
            ) from None

    async def _ask_for_holders(self, deadline: float) -> dict[int, Host]:
        """Ask until all slots are covered: a node may know of its own only, or of none."""
        holders: dict[int, Host] = {}
        problems: list[str] = []
        for node, until in in_turn(self._known(), deadline):
            try:
                holders = {**await self._ask_one_for_holders(node, until), **holders}
            except (ConnectionLostError, OutcomeUnknownError) as error:
                problems.append(str(error))
            if len(holders) == REDIS_CLUSTER_HASH_SLOTS:
                break
        if problems and not holders:
            raise ConnectionLostError("; ".join(problems))
        return holders

    async def _ask_one_for_holders(self, node: Host, deadline: float) -> dict[int, Host]:
        [reply] = await self._connection(node).call([("CLUSTER", "SLOTS")], deadline=deadline)
        if isinstance(reply, REFUSALS):
            if "cluster support disabled" in str(reply):
                raise ConfigurationError(f"{self._seed} is in no cluster; set redis_cluster=False")
            raise refused(reply, str(self._seed.at(node)))
        holders: dict[int, Host] = {}
        for first, last, (host, port, *_), *_ in reply:  # its replicas follow
            holder = (host.decode() if host else node[0], port)  # it may know no address of its own
            holders.update(dict.fromkeys(range(first, last + 1), holder))
        return holders

    def _forget(self) -> None:
        """Ask anew who holds which slot: somebody has failed or is another's replica now."""
        self._holders = {}
        self._moved = {}

    def _known(self) -> list[Host]:
        """Return nodes that can be asked for the others, first those that are known to answer."""
        nodes = dict.fromkeys([*self._nodes, *self._seed.hosts])
        return sorted(nodes, key=lambda node: node not in self._nodes or not self._nodes[node].up)

    def _connection(self, node: Host) -> Connection:
        if node not in self._nodes:
            connection = Connection(partial(dial, self._seed.at(node)), self._slots)
            if not self._closed:
                connection.open()
            self._nodes[node] = connection
        return self._nodes[node]


def _slot_of(keys: QueueKeys) -> int:
    return key_slot(keys.prefix)


def _target(error: AskError, node: Host) -> Host:
    """Return where to; an empty host is the one that said so."""
    host = cast("str", error.host)
    return host or node[0], error.port
