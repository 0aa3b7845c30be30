"""The classes a payload may name. Nothing else is ever looked up, imported or built."""

from __future__ import annotations

import threading
import typing
from typing import TYPE_CHECKING, TypeVar, overload

from async_task.errors import ConfigurationError
from async_task.serialization.hints import Hint, classes_in, hints_of, resolve
from async_task.serialization.shapes import Shape, shape_of

if TYPE_CHECKING:
    from collections.abc import Callable

C = TypeVar("C", bound=type)


class TypeRegistry:
    """Names of Enum, dataclass, named tuple and pydantic classes, both ways.

    A class gets in by `register` or by occurring in annotations handed to `register_annotations`.
    Its default name is `module:qualname`. Lookups take no lock; registering takes one, so both may
    happen in any thread.

    Attributes:
        module_name: Maps a class's `__module__` to the name other processes know the module by.
            Whoever knows how `__main__` is called elsewhere sets it; it is asked when a class is
            first looked up.
    """

    def __init__(self, module_name: Callable[[str], str] = str) -> None:
        self.module_name = module_name
        self._by_name: dict[str, tuple[type, Shape]] = {}
        self._by_class: dict[type, tuple[str, Shape]] = {}
        self._seen: set[type] = set()
        self._subjects: list[object] = []
        self._hints: list[Hint] = []
        self._classes: list[type] = []
        self._lock = threading.RLock()

    @overload
    def register(self, cls: C, name: str | None = None) -> C: ...
    @overload
    def register(self, cls: None = None, name: str | None = None) -> Callable[[C], C]: ...
    def register(self, cls: C | None = None, name: str | None = None) -> C | Callable[[C], C]:
        """Let instances of `cls` travel; also a decorator, bare or with a name.

        Repeating it is harmless. A second name keeps the first one readable, which is how a class
        is renamed or moved: register it under its old name too.

        Args:
            cls: An Enum, dataclass, named tuple or pydantic model. Subclasses are not included.
            name: What to call it in payloads instead of `module:qualname`.

        Raises:
            ConfigurationError: `cls` is nothing of the kind, or another class has that name.
        """
        if cls is None:
            return lambda decorated: self.register(decorated, name)
        shape = shape_of(cls)
        if shape is None:
            raise ConfigurationError(
                f"{cls.__module__}.{cls.__qualname__} is no Enum, dataclass, named tuple or"
                f" pydantic model; write a ValueCodec for it"
            )
        with self._lock:
            if name is None:
                self._classes.append(cls)
            else:
                self._add(cls, name, shape)
                self._by_class[cls] = (name, shape)
        return cls

    def register_annotations(self, subject: object) -> None:
        """Let every class travel that the annotations of a function or class mention.

        Parameters and return value count, through generics, unions, `Annotated`, aliases, and the
        fields of the classes found. Annotations are resolved when an unknown class or name first
        turns up, since they may refer to what is defined later; one that cannot be resolved is
        tried again then, and never stands in the way of others.
        """
        with self._lock:
            self._subjects.append(subject)

    def find_class(self, cls: type) -> tuple[str, Shape] | None:
        """Return name and shape of exactly this class, or None if it is not registered."""
        found = self._by_class.get(cls)
        if found is None and self._resolve_pending():
            found = self._by_class.get(cls)
        return found

    def find_name(self, name: str) -> tuple[type, Shape] | None:
        """Return class and shape of that name, or None if nothing is registered under it."""
        found = self._by_name.get(name)
        if found is None and self._resolve_pending():
            found = self._by_name.get(name)
        return found

    def _add(self, cls: type, name: str, shape: Shape) -> None:
        holder, _ = self._by_name.get(name, (cls, shape))
        # The same module and name again is a reloaded module, whose new class replaces the old.
        if (holder.__module__, holder.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ConfigurationError(
                f"two classes are called {name!r} in payloads:"
                f" {holder.__module__}.{holder.__qualname__} and"
                f" {cls.__module__}.{cls.__qualname__}; register one under another name"
            )
        self._by_name[name] = (cls, shape)

    def _resolve_pending(self) -> bool:
        """Take in what was registered since the last time; tell whether there was anything."""
        if not (self._subjects or self._hints or self._classes):
            return False
        with self._lock:
            subjects, self._subjects = self._subjects, []
            for subject in subjects:
                self._hints.extend(hints_of(subject))
            pending, self._hints = self._hints, []
            classes, self._classes = self._classes, []
            for cls in classes:
                self._take_in(cls, pending)
            while pending:
                hint = pending.pop()
                try:
                    resolved = resolve(hint)
                except Exception:
                    self._hints.append(hint)
                    continue
                for cls in classes_in(resolved):
                    self._take_in(cls, pending)
        return True

    def _take_in(self, cls: type, pending: list[Hint]) -> None:
        """Name a class and queue its own annotations; does nothing the second time."""
        if cls in self._seen:
            return
        self._seen.add(cls)
        shape = shape_of(cls)
        if shape is None and not typing.is_typeddict(cls):
            return
        pending.extend(hints_of(cls))
        if shape is not None:
            name = f"{self.module_name(cls.__module__)}:{cls.__qualname__}"
            self._add(cls, name, shape)
            self._by_class.setdefault(cls, (name, shape))


default_registry = TypeRegistry()
register_type = default_registry.register
