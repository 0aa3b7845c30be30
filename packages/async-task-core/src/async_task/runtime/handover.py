"""What a worker and its child processes tell each other, as length-prefixed plain msgpack.

hello    worker -> child   the fields of `Hello`
request  worker -> child   [the fields of a `Lease`, the fields of a `Fault` or None]
ready    child -> worker   True, once everything is imported
reply    child -> worker   [kind of settlement, then its fields], None to leave the lease alone,
                           or True: the task's own transaction has settled it
"""

from __future__ import annotations

import dataclasses
import struct
from typing import TYPE_CHECKING, Any, Final

from async_task.errors import TaskCrashedError, TaskError, TaskTimeoutError
from async_task.serialization.plain import pack_plain, unpack_plain
from async_task.spi.messages import Ack, Lease, Reject, Release, Retry, Settlement, StoredResult

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LENGTH: Final = struct.Struct(">I")

_KINDS: Final[dict[str, Callable[..., Settlement]]] = {
    kind.__name__: kind for kind in (Ack, Retry, Release, Reject)
}


@dataclasses.dataclass(frozen=True, slots=True)
class Hello:
    """What a child needs to become like its worker.

    Attributes:
        path: The worker's `sys.path`.
        argv: Its `sys.argv`, which modules may read when they are imported.
        modules: What to import so that its tasks are known.
        settings: Its configuration, by keyword.
        logging: How it logs: level, and whether as JSON; None where the application says.
    """

    path: Sequence[str]
    argv: Sequence[str]
    modules: Sequence[str]
    settings: dict[str, Any]
    logging: tuple[str, bool] | None


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """How a body ended in a child that cannot tell any more.

    Attributes:
        kind: `"timeout"`: its time was up and its child was killed for it; `"crash"`: it died.
        message: In words.
    """

    kind: str
    message: str

    def error(self) -> TaskError:
        """Return it as the error the task is told about."""
        return (TaskTimeoutError if self.kind == "timeout" else TaskCrashedError)(self.message)


def framed(value: object) -> bytes:
    """Return one message as it goes through the pipe."""
    data = pack_plain(value)
    return LENGTH.pack(len(data)) + data


def pack_hello(hello: Hello) -> bytes:
    """Return the first message to a child."""
    return framed(dataclasses.astuple(hello))


def unpack_hello(data: bytes) -> Hello:
    """Read what `pack_hello` wrote."""
    return Hello(*unpack_plain(data))


def pack_request(lease: Lease, fault: Fault | None) -> bytes:
    """Return a request."""
    ended = None if fault is None else dataclasses.astuple(fault)
    return framed([dataclasses.astuple(lease), ended])


def unpack_request(data: bytes) -> tuple[Lease, Fault | None]:
    """Read what `pack_request` wrote."""
    lease, fault = unpack_plain(data)
    return Lease(*lease), None if fault is None else Fault(*fault)


def pack_reply(settlement: Settlement | None, *, committed: bool) -> bytes:
    """Return a reply."""
    if settlement is None:
        return framed(committed or None)
    fields: list[Any] = [type(settlement).__name__]
    for field in dataclasses.fields(settlement)[1:]:  # the first is the lease
        value = getattr(settlement, field.name)
        fields.append([value.body, value.ttl_ms] if isinstance(value, StoredResult) else value)
    return framed(fields)


def unpack_reply(data: bytes, lease: Lease) -> tuple[Settlement | None, bool]:
    """Read what `pack_reply` wrote, for the lease it is about: settlement, and if committed."""
    fields: Any = unpack_plain(data)
    if fields is None or fields is True:
        return None, fields is True
    kind, *rest = fields
    return _KINDS[kind](lease, *map(_unpacked, rest)), False


def _unpacked(value: Any) -> Any:
    if type(value) is not list:
        return value
    return StoredResult(*value)  # pyright: ignore[reportUnknownArgumentType] - of our own child
