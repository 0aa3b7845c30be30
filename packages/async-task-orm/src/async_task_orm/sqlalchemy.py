"""Rows of SQLAlchemy: mapped instances, fetched in sessions of the application's own making."""

from __future__ import annotations

import asyncio
import copy
import functools
import sys
from contextlib import asynccontextmanager
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

from async_task.errors import ConfigurationError

from async_task_orm.reference import Reference
from async_task_orm.resolver import ModelCodec

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence

    from sqlalchemy import Select
    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import Mapper, Session

    SessionFactory: TypeAlias = Callable[[], AsyncSession] | Callable[[], Session]

_IMMUTABLE = (type(None), bool, int, float, Decimal, str, bytes, UUID, datetime, date, time)
"""What most columns are made of, and nothing can be changed in."""

_factory: SessionFactory | None = None


def set_sqlalchemy_session_factory(factory: SessionFactory | None) -> None:
    """Say how sessions are made in which rows are fetched and live while their task runs.

    Call it where the tasks are defined, so that workers and their child processes call it too. It
    makes no session by itself. Sessions that are bound to several databases are fine.

    Args:
        factory: An `async_sessionmaker` or a `sessionmaker`, or what makes sessions without
            arguments; None to forget it.
    """
    global _factory
    _factory = factory


class SqlalchemyCodec(ModelCodec):
    """Carries instances of mapped classes."""

    tag = "sqlalchemy"

    def handles(self, value: object) -> bool:
        """Return whether `value` is an instance of a mapped class."""
        return self.is_model(type(value))

    def is_model(self, model: type) -> bool:
        """Return whether a class is mapped."""
        return "sqlalchemy.orm" in sys.modules and hasattr(model, "__mapper__")

    def name_of(self, model: type) -> str:
        """Return the name of the class, unless several mapped classes have it."""
        name = model.__name__
        if len(_mapped(name)) > 1:
            msg = (
                f"several mapped classes are called {name!r}; tell them apart by"
                f" register_model({name}, name=...)"
            )
            raise ValueError(msg)
        return name

    def find(self, name: str) -> type | None:
        """Return the one mapped class of that name."""
        if "sqlalchemy.orm" not in sys.modules:
            return None
        found = _mapped(name)
        return found[0] if len(found) == 1 else None

    def refer(self, row: Any, name: str) -> Reference:
        """Return the identity of a row that was flushed, in whatever session or none."""
        from sqlalchemy import inspect

        state = inspect(row)
        if state.identity is None or state.deleted or state.was_deleted:
            raise ValueError(
                "it is not stored, so no worker would find it; flush it, or dispatch without it"
            )
        return Reference(name, tuple(state.identity))

    def check(self, model: type, reference: Reference) -> None:
        """Compare a key with the columns of the primary key."""
        columns = _mapper(model).primary_key
        if len(columns) != len(reference.key) or reference.database is not None:
            raise ValueError(f"its key has {len(columns)} parts")
        for column, part in zip(columns, reference.key, strict=True):
            try:
                kind = column.type.python_type
            except NotImplementedError:  # a type of the application's own
                continue
            if not isinstance(part, kind):
                raise TypeError(f"{column.name} is a {type(part).__name__}, not a {kind.__name__}")

    async def fetch(self, references: Sequence[Reference]) -> _Sessions:
        """Return rows, read in one session; they live on in a session per task."""
        if _factory is None:
            raise ConfigurationError(
                "rows of SQLAlchemy are arguments here, and no session can be made; call"
                " set_sqlalchemy_session_factory(async_sessionmaker(engine)) where the tasks are"
            )
        queries = [(group, _query(model, group)) for model, group in self.batches(references)]
        rows: dict[Reference, Any] = {}
        session: Any = _factory()
        if _is_async(session):
            async with session:
                for group, query in queries:
                    rows.update(_named(group, (await session.scalars(query)).unique()))
        else:
            rows = await asyncio.to_thread(_fetch, session, queries)
        return _Sessions(self, rows, _factory)


class _Sessions:
    """Rows, and a session of its own for every task that gets them."""

    def __init__(
        self, codec: ModelCodec, rows: Mapping[Reference, Any], factory: SessionFactory
    ) -> None:
        self._codec = codec
        self._rows = rows
        self._factory = factory

    @asynccontextmanager
    async def opened(
        self, references: Sequence[Reference]
    ) -> AsyncGenerator[Mapping[Reference, Any]]:
        present = self._codec.present(self._rows, references)
        opened: Any = self._factory()
        session: Session = opened.sync_session if _is_async(opened) else opened
        try:
            # Merging what was loaded does no I/O: the session takes a connection when it is used.
            own = {
                reference: None if row is None else session.merge(row, load=False)
                for reference, row in present.items()
            }
            for instance in session:  # what was loaded along with the rows, too
                _unshare(instance)
            yield own
        finally:
            if _is_async(opened):
                await opened.close()
            else:
                await asyncio.to_thread(opened.close)


def _is_async(session: object) -> bool:
    extension = sys.modules.get("sqlalchemy.ext.asyncio")  # not to be imported without greenlet
    return extension is not None and isinstance(session, extension.AsyncSession)


@functools.lru_cache(1000)
def _mapped(name: str) -> list[type]:
    """Return the mapped classes of that name."""
    from sqlalchemy import event
    from sqlalchemy.orm import Mapper, mapperlib

    if not event.contains(Mapper, "after_mapper_constructed", _forget):
        event.listen(Mapper, "after_mapper_constructed", _forget)
    all_registries: Any = vars(mapperlib)["_all_registries"]  # no public way leads to all of them
    mappers = (mapper for registry in all_registries() for mapper in registry.mappers)
    return [mapper.class_ for mapper in mappers if mapper.class_.__name__ == name]


def _forget(*_: object) -> None:
    """Look through all mapped classes anew, since there is another one."""
    _mapped.cache_clear()


def _mapper(model: type) -> Mapper[Any]:
    from sqlalchemy import inspect

    mapper: Mapper[Any] = inspect(model)
    return mapper


def _attributes(model: type) -> list[Any]:
    """Return the attributes of the primary key, which may be called unlike its columns."""
    mapper = _mapper(model)
    names = (mapper.get_property_by_column(column).key for column in mapper.primary_key)
    return [getattr(model, name) for name in names]


def _query(model: type, references: Sequence[Reference]) -> Select[Any]:
    from sqlalchemy import select, tuple_

    attributes = _attributes(model)
    query: Select[Any] = select(model)
    if len(attributes) == 1:
        return query.where(attributes[0].in_([reference.key[0] for reference in references]))
    return query.where(tuple_(*attributes).in_([reference.key for reference in references]))


def _fetch(
    session: Session, queries: Sequence[tuple[Sequence[Reference], Select[Any]]]
) -> dict[Reference, Any]:
    rows: dict[Reference, Any] = {}
    with session:
        for references, query in queries:
            rows.update(_named(references, session.scalars(query).unique()))
    return rows


def _named(references: Sequence[Reference], instances: Iterable[Any]) -> dict[Reference, Any]:
    """Return the instances by how they were referred to."""
    from sqlalchemy import inspect

    name = references[0].model
    return {Reference(name, tuple(inspect(instance).identity)): instance for instance in instances}


def _unshare(instance: Any) -> None:
    """Give an instance values of its own where others got the same and may change it."""
    from sqlalchemy import inspect
    from sqlalchemy.ext.mutable import MutableBase
    from sqlalchemy.orm.attributes import set_committed_value

    state = inspect(instance)
    for attribute in state.mapper.column_attrs:
        shared: Any = state.dict.get(attribute.key)
        if type(shared) in _IMMUTABLE:
            continue
        own: Any = copy.deepcopy(shared)
        if isinstance(shared, MutableBase):  # it tells the rows it belongs to when it is changed
            key = shared._parents.pop(state, attribute.key)  # pyright: ignore[reportPrivateUsage] - no public way
            own._parents[state] = key
        set_committed_value(instance, attribute.key, own)


codec = SqlalchemyCodec()
