"""Child processes: where CPU-bound tasks run, and tasks suspected of taking their process down."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from async_task.core.naming import module_name
from async_task.runtime import logs
from async_task.runtime.handover import (
    LENGTH,
    Fault,
    Hello,
    pack_hello,
    pack_request,
    unpack_reply,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from async_task.core.definition import TaskDefinition
    from async_task.spi.messages import Lease, Settlement


START_S: Final = 60.0
"""How long a child may take to import the application."""


class ChildDiedError(Exception):
    """The child ended without an answer; `how` says how."""

    def __init__(self, how: str) -> None:
        super().__init__(how)
        self.how = how


class Children:
    """The child processes of one worker. Started when needed; idle ones are used again.

    Args:
        tasks: The tasks that children must know.
        settings: The configuration they work under, by keyword.
    """

    def __init__(self, tasks: Iterable[TaskDefinition], settings: dict[str, object]) -> None:
        modules = dict.fromkeys(module_name(task.target.__module__) for task in tasks)
        self._hello = Hello(
            # A script's tasks are named relative to the working directory; see `module_name`.
            path=[*(path or os.getcwd() for path in sys.path), os.getcwd()],
            argv=sys.argv,
            modules=list(modules),
            settings=settings,
            logging=logs.chosen,
        )
        self._idle: list[_Child] = []
        self._keep = os.cpu_count() or 1

    async def run(
        self,
        lease: Lease,
        *,
        alone: bool,
        fault: Fault | None = None,
        begin: Callable[[], None] = lambda: None,
        committed: Callable[[], None] = lambda: None,
    ) -> Settlement | None:
        """Run a leased task in a child process and return what became of it.

        Cancelled, it kills the child.

        Args:
            lease: The task's lease.
            alone: Use a child that nothing else ran in or will.
            fault: The body has ended already, like this: only decide what follows.
            begin: Called when the child has the task, so that its start costs no time limit.
            committed: Called when the task's own transaction has settled it.

        Raises:
            ChildDiedError: The child ended before it answered.
            OSError: No process can be started.
        """
        child = None if alone else self._living()
        if child is None:
            child = await _Child.start(self._hello)
        answered = False
        try:
            await child.ready()
            begin()
            settlement, has_committed = await child.ask(lease, fault)
            if has_committed:
                committed()
            answered = True
        finally:
            if answered and not alone and len(self._idle) < self._keep:
                self._idle.append(child)
            else:
                child.kill()
        return settlement

    def _living(self) -> _Child | None:
        while self._idle:
            child = self._idle.pop()
            if child.lives:
                return child
            child.kill()
        return None

    def close(self) -> None:
        """End the idle children."""
        while self._idle:
            self._idle.pop().kill()


class _Child:
    """One process and the pipes to it."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        requests: asyncio.WriteTransport,
        replies: asyncio.ReadTransport,
        reader: asyncio.StreamReader,
    ) -> None:
        self._process = process
        self._requests = requests
        self._replies = replies
        self._reader = reader
        self._is_ready = False

    @classmethod
    async def start(cls, hello: Hello) -> _Child:
        child_requests, requests = os.pipe()
        replies, child_replies = os.pipe()
        command = [sys.executable, "-m", "async_task.runtime.child"]
        try:
            # Popen itself takes milliseconds; what takes long, the child's imports, runs on.
            process = subprocess.Popen(  # noqa: S603, ASYNC220 - our own module, see above
                [*command, str(child_requests), str(child_replies)],
                pass_fds=(child_requests, child_replies),
                stdin=subprocess.DEVNULL,
            )
        except OSError:
            os.close(requests)
            os.close(replies)
            raise
        finally:
            os.close(child_requests)
            os.close(child_replies)
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        reading, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(replies, "rb", 0)
        )
        writing, _ = await loop.connect_write_pipe(
            asyncio.BaseProtocol, os.fdopen(requests, "wb", 0)
        )
        writing.write(pack_hello(hello))
        return cls(process, writing, reading, reader)

    @property
    def lives(self) -> bool:
        return self._process.poll() is None

    async def ask(self, lease: Lease, fault: Fault | None) -> tuple[Settlement | None, bool]:
        self._requests.write(pack_request(lease, fault))
        return unpack_reply(await self._read(), lease)

    async def ready(self) -> None:
        if not self._is_ready:
            try:
                async with asyncio.timeout(START_S):
                    await self._read()
            except (TimeoutError, ChildDiedError) as exc:
                msg = f"it has not imported the tasks within {START_S} s, or {exc}"
                raise OSError(msg) from exc
            self._is_ready = True

    async def _read(self) -> bytes:
        try:
            head = await self._reader.readexactly(LENGTH.size)
            return await self._reader.readexactly(*LENGTH.unpack(head))
        except asyncio.IncompleteReadError:
            raise ChildDiedError(await self._end()) from None

    def kill(self) -> None:
        if self.lives:
            self._process.kill()
            self._process.wait()  # a killed process is gone at once
        self._replies.close()
        if not self._requests.is_closing():  # it is when the child closed its end
            self._requests.abort()

    async def _end(self) -> str:
        loop = asyncio.get_running_loop()
        code = await loop.run_in_executor(None, self._process.wait)
        return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
