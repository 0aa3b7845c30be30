"""Starting servers for tests, and taking them away."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from async_task.testing.harness import missing_server
from async_task.testing.servers.container import container, docker_answers

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

START_S = 30.0
"""How long a server may take to answer; PostgreSQL and MariaDB need 3 s on a busy machine."""

STOP_S = 10.0
"""How long a server may take to end when asked to, before it is killed."""


class LocalServer(ABC):
    """A server process of this machine's own: a random port, data in a temporary folder.

    Entered as a context manager it is started, left it is ended and its data removed. All methods
    block until they are done, for a second or so: tests whose loop must go on meanwhile call them
    through `asyncio.to_thread`.

    Attributes:
        name: What `ASYNC_TASK_TEST_<NAME>_URL` calls it.
        binary: The program to look for.
        user: The system user that runs it where this process is root; `None` for root itself.
        stop_signal: What makes it end in order, without waiting for its clients.
        image: Container image for `shared`.
        image_port: The port in that container.
        image_environment: Environment of that container.
        port: Where it listens on 127.0.0.1; the same after a restart.
        folder: Where its data is.
    """

    name: ClassVar[str]
    binary: ClassVar[str]
    user: ClassVar[str | None] = None
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    image: ClassVar[str]
    image_port: ClassVar[int]
    image_environment: ClassVar[Mapping[str, str]] = {}

    def __init__(self) -> None:
        self.port = free_port()
        self.folder = Path()
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self, binary: str) -> Sequence[str]:
        """Return the command line that runs the server in the foreground."""

    @classmethod
    @abstractmethod
    def url_at(cls, host: str, port: int) -> str:
        """Return the URL of a server of this kind, as a driver takes it."""

    @classmethod
    def answers(cls, host: str, port: int) -> bool:
        """Tell, within a second, whether the server is ready; by default: accepts connections."""
        try:
            socket.create_connection((host, port), timeout=1).close()
        except OSError:
            return False
        return True

    @classmethod
    def find_binary(cls) -> str | None:
        """Return the path of the program, or `None` where it is not installed."""
        return shutil.which(cls.binary)

    def prepare(self) -> None:  # noqa: B027 - most need nothing
        """Fill the empty folder before the first start; by default nothing."""

    @property
    def url(self) -> str:
        """Where it is."""
        return self.url_at("127.0.0.1", self.port)

    @property
    def pid(self) -> int:
        """The process; fails when it was not started or has been stopped."""
        assert self._process is not None, f"{self.name} is not running"
        return self._process.pid

    @property
    def log(self) -> str:
        """What it printed so far."""
        return (self.folder / "server.log").read_text(errors="replace")

    def __enter__(self) -> Self:
        if self.find_binary() is None:
            missing_server(f"{self.binary} is not installed, so no {self.name} can be started")
        self.folder = Path(tempfile.mkdtemp(prefix=f"async-task-{self.name}-"))
        atexit.register(self.close)
        if self._user is not None:
            shutil.chown(self.folder, self._user)
        self.prepare()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it, however it is, and remove its data; again is harmless."""
        atexit.unregister(self.close)
        if self._process is not None:
            self.kill9()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        """Start it and wait until it answers."""
        binary = self.find_binary()
        assert binary is not None, f"{self.binary} is not installed"
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the author of the server wrote it
                self.command(binary),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                user=self._user,
                start_new_session=True,  # a signal reaches its children too, Ctrl-C does not
            )
        deadline = time.monotonic() + START_S
        while not self.answers("127.0.0.1", self.port):
            code = self._process.poll()
            if code is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} did not start (exit code {code}):\n{self.log}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Ask it to end and wait until it has."""
        assert self._process is not None
        self._process.send_signal(self.stop_signal)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill9()
        self._process = None

    def kill9(self) -> None:
        """Kill it with all its children, as a power cut would; frozen or not."""
        self._signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()
        self._process = None

    def freeze(self) -> None:
        """Let it answer nothing any more, with all connections open."""
        # Where the processors are busy a signal takes a while, in which it answers.
        while not all(state[0] in "TZ" for state in self._states()):
            self._signal(signal.SIGSTOP)
            time.sleep(0.002)

    def thaw(self) -> None:
        """Undo `freeze`."""
        self._signal(signal.SIGCONT)

    def run(self, *command: str) -> None:
        """Run a program as the server's user in its folder; a failure shows what it printed."""
        done = subprocess.run(  # noqa: S603 - the author of the server wrote it
            command, cwd=self.folder, user=self._user, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command[0]} failed: {done.stdout}{done.stderr}"

    @property
    def _user(self) -> str | None:
        return self.user if os.geteuid() == 0 else None

    def _states(self) -> list[str]:
        """Return how its processes are: `T` for stopped, `Z` for ended."""
        return printed("ps", "-o", "stat=", "-p", ",".join(map(str, self._pids())))

    def _pids(self) -> list[int]:
        return [int(pid) for pid in printed("pgrep", "-g", str(self.pid))]

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):  # it ended by itself
            os.killpg(self.pid, number)


@contextmanager
def shared(kind: type[LocalServer]) -> Generator[str]:
    """Yield the URL of a server that others may use too; skip the test where there is none.

    It is the one that `ASYNC_TASK_TEST_<NAME>_URL` names, else one in a container if a Docker
    engine answers and testcontainers is installed, else a private one from the local binary. Use a
    namespace of your own and leave nothing behind; what kills, freezes or fills a server takes a
    private instance.
    """
    variable = f"ASYNC_TASK_TEST_{kind.name.upper()}_URL"
    if url := os.environ.get(variable):
        yield url
    elif docker_answers():
        with container(kind.image, kind.image_port, kind.image_environment) as (host, port):
            wait_until_ready(kind, host, port)
            yield kind.url_at(host, port)
    elif kind.find_binary() is None:
        missing_server(f"set {variable}, start a Docker engine, or install {kind.binary}")
    else:
        with kind() as server:
            yield server.url


def wait_until_ready(kind: type[LocalServer], host: str, port: int) -> None:
    """Wait until a server answers, at most `START_S`."""
    deadline = time.monotonic() + START_S
    while not kind.answers(host, port):
        assert time.monotonic() < deadline, f"{kind.name} at {host}:{port} does not answer"
        time.sleep(0.05)


def printed(*command: str) -> list[str]:
    """Run a program that only looks at processes, and return the words it printed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    return done.stdout.split()


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
