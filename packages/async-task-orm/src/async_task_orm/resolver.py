"""From rows to references and back: what is the same for every ORM."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Final

from async_task.errors import DecodeError, TaskCancelledError

from async_task_orm.reference import MissingRowError, Reference
from async_task_orm.registration import Missing, registered_as, registration_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence

MOST_KEYS: Final = 500
"""Most rows asked for in one query: SQLite before 3.32 takes 999 parameters, and a key may have two
parts."""


class ModelCodec(ABC):
    """Carries rows of one ORM, and fetches them; a `ReferenceCodec` of core.

    Subclasses import their ORM only when something of it is at hand.
    """

    tag: ClassVar[str]

    @abstractmethod
    def handles(self, value: object) -> bool:
        """Return whether `value` is a row of this ORM."""

    @abstractmethod
    def name_of(self, model: type) -> str:
        """Return what the ORM itself calls a model."""

    @abstractmethod
    def find(self, name: str) -> type | None:
        """Return the model the ORM calls so, or None; imports nothing."""

    @abstractmethod
    def refer(self, row: Any, name: str) -> Reference:
        """Return the reference to a row of the model of that name.

        Raises:
            ValueError: The row is not stored.
        """

    @abstractmethod
    def check(self, model: type, reference: Reference) -> None:
        """Raise unless the reference is one that `refer` could have made."""

    @abstractmethod
    async def fetch(self, references: Sequence[Reference]) -> Any:
        """Return the rows that exist, as core's `Fetched`."""

    def encode(self, value: object) -> object:
        """Return the reference to a row, for the wire."""
        model = type(value)
        name = registration_of(model).name or self.name_of(model)
        packed = self.refer(value, name).pack()
        self.decode(packed)  # what no worker would take is refused here
        return packed

    def decode(self, data: object) -> Reference:
        """Return the reference that came, checked."""
        reference = Reference.unpack(data)
        model = self.model(reference.model)
        try:
            self.check(model, reference)
        except Exception as exc:
            raise DecodeError(f"{reference!s:.200} is no key of {model.__name__}: {exc}") from exc
        return reference

    def model(self, name: str) -> type:
        """Return the model of that name.

        Raises:
            DecodeError: There is none in this process.
        """
        model = registered_as(name)
        if model is None or not self.is_model(model):
            model = self.find(name)
        if model is None:
            raise DecodeError(f"no model of {self.tag} is called {name!r:.200} here")
        return model

    @abstractmethod
    def is_model(self, model: type) -> bool:
        """Return whether a registered class is a model of this ORM."""

    def batches(self, references: Sequence[Reference]) -> Iterator[tuple[type, list[Reference]]]:
        """Yield what to ask for in one query each: references to one model in one database."""
        groups: dict[tuple[str, str | None], list[Reference]] = {}
        for reference in references:
            groups.setdefault((reference.model, reference.database), []).append(reference)
        for (name, _), group in groups.items():
            for start in range(0, len(group), MOST_KEYS):
                yield self.model(name), group[start : start + MOST_KEYS]

    def present(
        self, rows: Mapping[Reference, Any], references: Sequence[Reference]
    ) -> dict[Reference, Any]:
        """Return the rows of some references, with `None` for those that may be missing.

        Raises:
            MissingRowError: One is missing, and that is a failure.
            TaskCancelledError: One is missing, and the task is of no use without it.
        """
        found: dict[Reference, Any] = {}
        for reference in references:
            row = found[reference] = rows.get(reference)
            if row is None:
                _permit_missing(self.model(reference.model), reference)
        return found


def _permit_missing(model: type, reference: Reference) -> None:
    match registration_of(model).missing:
        case Missing.DISCARD:
            raise TaskCancelledError(f"{reference} does not exist any more, so it is discarded")
        case Missing.FAIL:
            msg = (
                f"{reference} does not exist: it was deleted, or the task was dispatched before the"
                " transaction that stores it was committed; dispatch with .after_commit(...), or"
                f" say register_model({model.__name__}, missing='discard') or 'none'"
            )
            raise MissingRowError(msg)
        case Missing.NONE:
            pass


class Rows:
    """Rows that need nothing kept open for them."""

    def __init__(self, codec: ModelCodec, rows: Mapping[Reference, Any]) -> None:
        self._codec = codec
        self._rows = rows

    @asynccontextmanager
    async def opened(
        self, references: Sequence[Reference]
    ) -> AsyncGenerator[Mapping[Reference, Any]]:
        """Give copies: what one task does to a row, another does not see."""
        present = self._codec.present(self._rows, references)
        yield {
            reference: None if row is None else _copied(row) for reference, row in present.items()
        }


def _copied(row: object) -> object:
    """Return the like of a row just fetched, sharing nothing; not by pickling, as Django would."""
    own = object.__new__(type(row))
    vars(own).update(copy.deepcopy(vars(row)))
    return own
