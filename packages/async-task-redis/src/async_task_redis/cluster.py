"""Finding the node of a cluster that holds a queue."""

from __future__ import annotations

import asyncio
import binascii
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

from async_task.spi.errors import ConfigurationError, ConnectionLostError, DriverError

from async_task_redis.client import exchange
from async_task_redis.connection import Connection
from async_task_redis.dialing import dial
from async_task_redis.failures import MOVED_ON, refused
from async_task_redis.scripts import in_full
from async_task_redis.wire import ReplyError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from async_task_redis.address import Address
    from async_task_redis.connection import Slots
    from async_task_redis.keys import QueueKeys
    from async_task_redis.wire import Command, Reply, Wire

SLOTS: Final = 16384
Node: TypeAlias = "tuple[str, int]"
"""Host and port."""

_MOVED: Final = object()
"""Stands where a reply will: the command goes to another node."""

_REDIRECTIONS: Final = 3
"""How often one call follows a slot to another node: once is normal, twice while one is moved."""


def slot_of(prefix: bytes) -> int:
    """Return the slot of keys with a hash tag: CRC16 (XMODEM) of what stands in the braces."""
    tag = prefix[prefix.index(b"{") + 1 : prefix.index(b"}")]
    return binascii.crc_hqx(tag, 0) % SLOTS


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
        self._nodes: dict[Node, Connection] = {}
        self._ranges: list[tuple[int, int, Node]] = []  # first slot, last slot, who holds them
        self._moved: dict[int, Node] = {}  # what was learned since the ranges were read
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
            by_node: dict[Node, list[int]] = {}
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
        for node, until in self._known(deadline):
            try:
                return await self._connection(node).wire(until)
            except DriverError as error:
                problems.append(str(error))
        raise ConnectionLostError("; ".join(problems))

    def open(self) -> None:
        """Let calls connect."""
        self._closed = False

    async def close(self) -> None:
        """Let go of all connections."""
        self._closed = True
        nodes, self._nodes = self._nodes, {}
        for connection in nodes.values():
            await connection.close()

    async def _run_on(
        self,
        node: Node,
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
            if isinstance(answer, ReplyError) and answer.code == "ASK":
                answer = await self._ask(_target(answer, node), command, deadline)
            if not isinstance(answer, ReplyError):
                replies[at] = answer
            elif answer.code == "MOVED":
                self._moved[slot_of(keys.prefix)] = _target(answer, node)
                replies[at] = _MOVED
            else:
                replies[at] = refused(answer, f"{self._seed.at(node)}")
                if answer.code in MOVED_ON:
                    connection.drop("is not the one to ask any more")
                    self._forget()

    async def _ask(self, node: Node, command: Command, deadline: float) -> Reply | DriverError:
        """Repeat a refused command on the node that its slot is being moved to."""
        connection = self._connection(node)
        try:
            _, answer = await connection.call([("ASKING",), command], deadline=deadline)
            if isinstance(answer, ReplyError) and answer.code == "NOSCRIPT":
                full = in_full(command)
                _, answer = await connection.call([("ASKING",), full], deadline=deadline)
        except DriverError as error:
            return error
        return answer

    async def _node_of(self, keys: QueueKeys, deadline: float) -> Node:
        slot = slot_of(keys.prefix)
        if slot in self._moved:
            return self._moved[slot]
        for first, last, node in await self._read_ranges(deadline):
            if first <= slot <= last:
                return node
        self._forget()
        raise DriverError(f"{self._seed}: no node holds slot {slot}", retryable=True)

    async def _read_ranges(self, deadline: float) -> list[tuple[int, int, Node]]:
        """Return who holds which slots, asking the nodes known so far until one answers."""
        if self._ranges:
            return self._ranges
        problems: list[str] = []
        for node, until in self._known(deadline):
            connection = self._connection(node)
            try:
                [reply] = await connection.call([("CLUSTER", "SLOTS")], deadline=until)
            except DriverError as error:
                problems.append(str(error))
                continue
            if isinstance(reply, ReplyError):
                name = str(self._seed.at(node))
                if "cluster support disabled" in str(reply):
                    raise ConfigurationError(f"{name} is in no cluster; set redis_cluster=False")
                raise refused(reply, name)
            self._ranges = [
                (first, last, (master[0].decode() or node[0], master[1]))
                for first, last, master, *_ in reply
            ]
            if self._ranges:
                return self._ranges
            problems.append(f"{self._seed.at(node)} knows of no slots yet")
        raise ConnectionLostError("; ".join(problems))

    def _forget(self) -> None:
        """Ask anew who holds which slot: somebody has failed or is another's replica now."""
        self._ranges = []
        self._moved = {}

    def _known(self, deadline: float) -> Iterator[tuple[Node, float]]:
        """Yield nodes to try in turn, and when to give each up: one may be silent."""
        loop = asyncio.get_running_loop()
        nodes = list(dict.fromkeys([*self._nodes, *self._seed.hosts]))
        for number, node in enumerate(nodes):
            now = loop.time()
            yield node, now + (deadline - now) / (len(nodes) - number)

    def _connection(self, node: Node) -> Connection:
        if node not in self._nodes:
            connection = Connection(partial(dial, self._seed.at(node)), self._slots)
            if not self._closed:
                connection.open()
            self._nodes[node] = connection
        return self._nodes[node]


def _target(error: ReplyError, node: Node) -> Node:
    """Read `MOVED slot host:port`; an empty host is the one that said so."""
    host, _, port = str(error).split()[2].rpartition(":")
    return host or node[0], int(port)
