"""Who takes part: one table, with the versions, the settings and the promises of each.

A line of `OURS` is all that a driver of ours needs, beside its server in `stores`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

_SIDE = ("-m", "benchmarks.side")
_HUEY_CONSUMER = ("-m", "huey.bin.huey_consumer", "benchmarks.adapters.huey.app")
_UVLOOP = "uvloop==0.23.0"
_HIREDIS = "hiredis==3.5.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A library on a store.

    Attributes:
        library: Its name; also that of its module in `benchmarks.adapters`, unless `adapter` is.
        store: The name of a store in `benchmarks.stores`.
        requires: What its environment is made of, as arguments of `pip install`; nothing for the
            environment of the runner.
        work: Arguments of Python that run its worker, with `{concurrency}` and `{processes}`.
        io: The same for tasks that wait, where another is better.
        tasks: How many no-op tasks it is given: about two seconds' work on a core like today's.
        paused: How many tasks of 10 ms it is given.
        delivery: What becomes of a task whose worker dies.
        settings: What was chosen, in words.
        adapter: Module of `benchmarks.adapters`.
        bulky: Whether it takes a million tasks in less than minutes.
        concurrency: Tasks at the same time.
    """

    library: str
    store: str
    requires: tuple[str, ...]
    work: tuple[str, ...]
    io: tuple[str, ...] = ()
    tasks: int = 6_000
    paused: int = 4_000
    delivery: str = "at least once"
    settings: str
    adapter: str = ""
    bulky: bool = True
    concurrency: int = 100

    @property
    def name(self) -> str:
        """What figures are filed under."""
        return f"{self.library} {self.store}"

    @property
    def ours(self) -> bool:
        """Whether it is async-task."""
        return self.module == "ours"

    @property
    def module(self) -> str:
        """The adapter's name."""
        return self.adapter or self.library


def _editable(*packages: str) -> tuple[str, ...]:
    names = dict.fromkeys(packages)
    return tuple(word for name in names for word in ("-e", f"packages/async-task-{name}"))


def _ours(store: str, tasks: int, paused: int = 10_000) -> Contender:
    return Contender(
        library="async-task",
        adapter="ours",
        store=store,
        requires=(*_editable("core", "sqlite", store), _UVLOOP, _HIREDIS),
        work=(
            *("-m", "async_task", "worker", "--app", "benchmarks.adapters.ours"),
            *("--concurrency", "{concurrency}", "--processes", "{processes}"),
            *("--log-level", "warning"),
        ),
        tasks=tasks,
        paused=paused,
        settings="its command line with --concurrency 100; no line of log per task",
    )


OURS: Final = (
    _ours("redis", 60_000),
    _ours("postgres", 40_000),
    _ours("mysql", 30_000),
    _ours("sqlite", 40_000),
    replace(_ours("rabbitmq", 8_000, 8_000), bulky=False),
    replace(_ours("sqs", 4_000, 4_000), bulky=False),
)

_CELERY = Contender(
    library="celery",
    store="redis",
    requires=("celery[redis]==5.7.0", "gevent==26.9.0", _HIREDIS),
    work=(
        *("-m", "celery", "-A", "benchmarks.adapters.celery", "worker", "-l", "WARNING"),
        *("-P", "prefork", "-c", "2", "--without-gossip", "--without-mingle"),
    ),
    io=(
        *("-m", "celery", "-A", "benchmarks.adapters.celery", "worker", "-l", "WARNING"),
        *("-P", "gevent", "-c", "100", "--without-gossip", "--without-mingle"),
    ),
    tasks=3_000,
    paused=2_000,
    settings="acks_late, prefetch 64; no-op: prefork, 2 processes; I/O: gevent, 100",
)
_DRAMATIQ = Contender(
    library="dramatiq",
    store="redis",
    requires=("dramatiq[redis,rabbitmq]==2.2.1", _HIREDIS),
    work=("-m", "dramatiq", "benchmarks.adapters.dramatiq", "-p", "2", "-t", "8"),
    io=("-m", "dramatiq", "benchmarks.adapters.dramatiq", "-p", "2", "-t", "50"),
    tasks=8_000,
    paused=8_000,
    settings="2 processes; no-op: 8 threads each; I/O: 50 threads each",
)
_HUEY = Contender(
    library="huey",
    store="redis",
    requires=("huey==3.5.4", "redis==8.1.0", _HIREDIS),
    work=(*_HUEY_CONSUMER, "-k", "process", "-w2"),
    io=(*_HUEY_CONSUMER, "-k", "thread", "-w100"),
    tasks=8_000,
    delivery="at most once",
    settings="no-op: 2 processes; I/O: 100 threads",
)
_TASKIQ = Contender(
    library="taskiq",
    store="redis",
    requires=(
        *("taskiq==0.13.0", "taskiq-redis==1.2.4", "taskiq-aio-pika==0.6.1"),
        *(_UVLOOP, _HIREDIS),
    ),
    work=(
        *("-m", "taskiq", "worker", "benchmarks.adapters.taskiq:broker", "--workers", "1"),
        *("--max-async-tasks", "{concurrency}", "--max-prefetch", "100", "--log-level", "WARNING"),
        *("--ack-type", "when_executed"),
    ),
    tasks=8_000,
    settings="streams, 100 a read; 100 tasks at a time, prefetch 100; uvloop",
)
_SAQ = Contender(
    library="saq",
    store="redis",
    requires=("saq[redis,postgres]==0.26.4", "psycopg[binary,pool]==3.3.9", _UVLOOP, _HIREDIS),
    work=(*_SIDE, "saq", "work"),
    settings="100 at a time, 3 tries; uvloop",
)
_PGQUEUER = Contender(
    library="pgqueuer",
    store="postgres",
    requires=("pgqueuer[asyncpg]==1.6.0", _UVLOOP),
    work=(*_SIDE, "pgqueuer", "work"),
    tasks=20_000,
    paused=10_000,
    settings="100 at a time, 50 a fetch; pool of 10; uvloop",
)

PEERS: Final = (
    _CELERY,
    _DRAMATIQ,
    Contender(
        library="rq",
        store="redis",
        requires=("rq==3.0.0", "redis==8.1.0", _HIREDIS),
        work=(
            *("-m", "rq.cli", "worker-pool", "bench", "-n", "2", "--url", "{url}"),
            *("-w", "rq.worker.SimpleWorker", "--logging-level", "ERROR"),
        ),
        tasks=1_500,
        paused=1_000,
        delivery="at most once, unless retried by hand",
        settings="pool of 2, SimpleWorker: no fork per task; result_ttl=0",
    ),
    _HUEY,
    Contender(
        library="arq",
        store="redis",
        requires=("arq==0.28.0", _UVLOOP, _HIREDIS),
        work=(*_SIDE, "arq", "work"),
        settings="max_jobs=100, poll_delay=0.01 (its default of 0.5 is three times slower); uvloop",
    ),
    _TASKIQ,
    _SAQ,
    Contender(
        library="streaq",
        store="redis",
        requires=("streaq==7.2.0", _UVLOOP),
        work=(*_SIDE, "streaq", "work"),
        tasks=3_000,
        paused=3_000,
        settings="100 at a time, prefetch 100; uvloop",
    ),
    Contender(
        library="procrastinate",
        store="postgres",
        requires=("procrastinate==3.10.0", "psycopg[binary,pool]==3.3.9", _UVLOOP),
        work=(*_SIDE, "procrastinate", "work"),
        tasks=2_000,
        paused=1_500,
        delivery="at least once, stalled jobs retried by hand",
        settings="100 at a time, pool of 20, delete_jobs=always, LISTEN; uvloop",
    ),
    _PGQUEUER,
    replace(
        _PGQUEUER,
        library="pgqueuer-unbounded",
        adapter="pgqueuer",
        concurrency=0,
        settings="its default, no bound; 100 a fetch; pool of 10; uvloop",
    ),
    replace(_SAQ, store="postgres", tasks=2_000, paused=1_500),
    replace(
        _DRAMATIQ,
        store="rabbitmq",
        tasks=6_000,
        paused=6_000,
        settings=f"{_DRAMATIQ.settings}; confirm_delivery=True; its classic queues",
    ),
    replace(
        _TASKIQ,
        store="rabbitmq",
        tasks=6_000,
        paused=6_000,
        settings="qos 200, 100 tasks at a time; its own queues; uvloop",
    ),
    replace(
        _HUEY,
        store="sqlite",
        work=(*_HUEY_CONSUMER, "-k", "thread", "-w1"),
        settings="fsync=True, as ours; no-op: 1 thread; I/O: 100 threads",
    ),
)

SHORT: Final = (
    *("async-task redis", "async-task postgres", "async-task sqlite"),
    *("taskiq redis", "dramatiq redis", "pgqueuer postgres", "huey sqlite"),
)
"""Those of the short run."""


def contenders() -> dict[str, Contender]:
    """Return everybody by name."""
    return {contender.name: contender for contender in (*OURS, *PEERS)}
