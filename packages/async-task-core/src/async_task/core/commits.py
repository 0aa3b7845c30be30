"""Waiting for a transaction of the application's to commit.

What waits in a savepoint is dropped when that is rolled back, and waits for the transaction around
it when it is released: SQLAlchemy reports a released savepoint as a commit, which it is not.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeAlias

from async_task.core.sync import block, running_loop
from async_task.errors import ConfigurationError

Send: TypeAlias = Callable[[], Coroutine[Any, Any, Any]]
"""Sends one task."""


class Commit(Protocol):
    """The commit of the transaction that a session or connection is in."""

    @property
    def is_async(self) -> bool:
        """Whether `then` sends on the event loop that commits; else on one in the background."""
        ...

    def then(self, send: Send) -> None:
        """Send once the transaction has committed, before the call that commits returns."""
        ...


class _Django:
    """The commit of a connection of Django, which counts savepoints itself."""

    is_async = False

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def then(self, send: Send) -> None:
        self._connection.on_commit(lambda: _send_now(send))


class _Sqlalchemy:
    """The commits of a session of SQLAlchemy; kept in its `info`.

    A transaction that ends without having committed drops what waits for it.
    """

    def __init__(self, session: Any, *, is_async: bool) -> None:
        self.is_async = is_async
        self._session = session
        self._waiting: dict[Any, list[Send]] = {}
        self._committed: Any = None
        listen = importlib.import_module("sqlalchemy.event").listen
        listen(session, "after_commit", self._has_committed)
        listen(session, "after_transaction_end", self._has_ended)
        self._await: Callable[[Any], Any] = importlib.import_module("sqlalchemy.util").await_only

    def then(self, send: Send) -> None:
        if not self._session.in_transaction():
            self._session.begin()
        self._waiting.setdefault(self._innermost(), []).append(send)

    def _innermost(self) -> Any:
        return self._session.get_nested_transaction() or self._session.get_transaction()

    def _has_committed(self, session: Any) -> None:
        self._committed = self._innermost()

    def _has_ended(self, session: Any, transaction: Any) -> None:
        sends = self._waiting.pop(transaction, None)
        if sends is None or transaction is not self._committed:
            return
        if transaction.nested:
            around = transaction.parent
            self._waiting.setdefault(around, []).extend(sends)
        elif self.is_async:
            self._await(_all(sends))
        else:
            _send_now(lambda: _all(sends))


def _send_now(send: Send) -> None:
    """Send before the call that commits returns: on the application's own loop if that is free."""
    from async_task.core.dispatcher import bound_loop  # which imports this module

    loop = bound_loop()
    block(send, None if loop is running_loop() else loop)


async def _all(sends: list[Send]) -> None:
    """Send tasks together; attempt all, then raise what failed."""
    outcomes = await asyncio.gather(*(send() for send in sends), return_exceptions=True)
    errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    if errors:
        errors[0].add_note(
            f"the transaction is committed; of {len(sends)} tasks that waited for it"
            f" {len(errors)} could not be sent"
        )
        raise errors[0]


def _of_session(session: Any, *, is_async: bool) -> Commit:
    commit: Commit | None = session.info.get(_Sqlalchemy)
    if commit is None:
        commit = session.info[_Sqlalchemy] = _Sqlalchemy(session, is_async=is_async)
    return commit


_KINDS: dict[tuple[str, str], Callable[[Any], Commit]] = {
    ("sqlalchemy", "Session"): lambda session: _of_session(session, is_async=False),
    ("sqlalchemy", "AsyncSession"): lambda s: _of_session(s.sync_session, is_async=True),
    ("sqlalchemy", "scoped_session"): lambda scoped: commit_of(scoped()),
    ("sqlalchemy", "async_scoped_session"): lambda scoped: commit_of(scoped()),
    ("django", "ConnectionProxy"): _Django,
    ("django", "BaseDatabaseWrapper"): _Django,
}
"""Package and class name -> how to wait, so that no client is imported to find out."""


def commit_of(given: Any) -> Commit:
    """Return the commit of what the caller holds.

    Raises:
        ConfigurationError: It is nothing that is known here.
    """
    for kind in type(given).__mro__:
        wait = _KINDS.get((kind.__module__.partition(".")[0], kind.__name__))
        if wait is not None:
            return wait(given)
    msg = (
        f"{type(given).__module__}.{type(given).__qualname__} is nothing whose commit can be waited"
        " for; pass a session of SQLAlchemy or a connection of Django"
    )
    raise ConfigurationError(msg)
