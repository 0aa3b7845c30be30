"""What a third party implements to send values of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager


class ValueCodec(Protocol):
    """Carry one family of values, for example rows of an ORM as references.

    Called in the order given to `Codec`, after the built-in types and before registered classes.
    Both directions run on the caller's thread and must neither block nor keep state.
    """

    @property
    def tag(self) -> str:
        """Name of this codec in payloads; stored with the data, so keep it for good."""
        ...

    def handles(self, value: object) -> bool:
        """Return whether this codec carries `value`; must not raise."""
        ...

    def encode(self, value: object) -> object:
        """Return an encodable stand-in for `value`; raising refuses the value.

        The exception's text becomes part of the message of the `EncodeError`.
        """
        ...

    def decode(self, data: object) -> object:
        """Return the value `data` stands for; any exception becomes a `DecodeError`.

        `data` comes from the backend and must not be trusted.
        """
        ...


@runtime_checkable
class ReferenceCodec(ValueCodec, Protocol):
    """Carry values as references, and fetch what they stand for before a task runs.

    `decode` checks what came and returns the reference, which is what dead letters show. All
    references of the tasks that a worker takes together then go to `fetch` in one call. Its tag
    must be a word that is rare in payloads: those that hold it are looked through for references.
    """

    async def fetch(self, references: Sequence[Hashable]) -> Fetched:
        """Return what there is for these distinct references, of any number of tasks.

        What it raises is a failure of those tasks, not of their payloads. It may be cancelled. One
        that fails for many tasks is repeated for each of them alone.
        """
        ...


class Fetched(Protocol):
    """What one `fetch` has found; discarded when the last of its tasks has ended."""

    def opened(
        self, references: Sequence[Hashable], /
    ) -> AbstractAsyncContextManager[Mapping[Hashable, object]]:
        """Return the values for one run of a task, which are its own until the context ends.

        The context is left when the run has ended, by another asyncio task than entered it, and
        within `CLOSE_S` of `async_task.core.references`. Entering may raise: `TaskCancelledError`
        ends the task without a run, anything else is a failure.
        """
        ...
