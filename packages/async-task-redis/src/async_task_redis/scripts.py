"""The Lua scripts, each one atomic step."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from async_task_redis.wire import Command

Argument: TypeAlias = "bytes | str | int"


@dataclass(frozen=True, slots=True)
class Script:
    """One script: its source, and the name the server knows it by once it has run."""

    source: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        sha = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "sha", sha)

    def call(self, keys: Sequence[bytes], arguments: Iterable[Argument] = ()) -> Command:
        """Return the command that runs it by name."""
        return ("EVALSHA", self.sha, len(keys), *keys, *arguments)


_FOLDER = resources.files("async_task_redis") / "scripts"
_by_sha: dict[str, Script] = {}


def _load(name: str) -> Script:
    script = Script((_FOLDER / f"{name}.lua").read_text(encoding="utf-8"))
    return _by_sha.setdefault(script.sha, script)


ENQUEUE = _load("enqueue")
LEASE = _load("lease")
RECOVER = _load("recover")
SETTLE = _load("settle")
EXTEND = _load("extend")
REQUEUE = _load("requeue")
CANCEL = _load("cancel")
STATUS = _load("status")
PURGE = _load("purge")
PURGE_DEAD = _load("purge_dead")
STATS = _load("stats")
WAKE = _load("wake")


def in_full(command: Command) -> Command:
    """Return the same call with the script's source, for a server that does not know it yet."""
    return ("EVAL", _by_sha[str(command[1])].source, *command[2:])
