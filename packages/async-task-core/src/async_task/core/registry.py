"""Task name -> definition: the only way from a message to code, since none causes an import."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_task.errors import ConfigurationError, UnknownTaskError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from async_task.core.definition import TaskDefinition


class Registry:
    """The tasks a process has declared so far, by name and alias."""

    def __init__(self) -> None:
        self._by_name: dict[str, TaskDefinition] = {}

    def add(self, definition: TaskDefinition) -> None:
        """Add a task. Declaring the same function or class again (a reload) replaces it.

        Raises:
            ConfigurationError: Another task has one of its names.
        """
        for name in (definition.name, *definition.aliases):
            other = self._by_name.get(name)
            if other is not None and _origin(other) != _origin(definition):
                msg = (
                    f"two tasks are called {name!r}: {_origin(other)} and {_origin(definition)};"
                    " give one of them another name="
                )
                raise ConfigurationError(msg)
        for name in (definition.name, *definition.aliases):
            self._by_name[name] = definition

    def get(self, name: str) -> TaskDefinition:
        """Return the task of that name or alias.

        Raises:
            UnknownTaskError: This process has declared none.
        """
        try:
            return self._by_name[name]
        except KeyError:
            msg = f"no task {name!r} is known here; is the module that defines it imported?"
            raise UnknownTaskError(msg) from None

    def __iter__(self) -> Iterator[TaskDefinition]:
        """Iterate over the tasks, each once."""
        return iter({id(definition): definition for definition in self._by_name.values()}.values())


def _origin(definition: TaskDefinition) -> str:
    from async_task.core.naming import qualified_name

    return qualified_name(definition.target)


registry = Registry()
"""The tasks of this process."""
