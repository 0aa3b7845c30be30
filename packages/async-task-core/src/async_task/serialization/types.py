"""The classes a payload may name. Nothing else is ever looked up, imported or built."""

from __future__ import annotations

import threading
import typing
from typing import TYPE_CHECKING, Final, TypeVar

from async_task.errors import ConfigurationError
from async_task.serialization.hints import Hint, classes_in, hints_of, resolve
from async_task.serialization.shapes import Shape, shape_of

if TYPE_CHECKING:
    from collections.abc import Callable

C = TypeVar("C", bound=type)


class TypeRegistry:
    """Names of Enum, dataclass, named tuple and pydantic classes, both ways.

    A class gets in by `register`, or by occurring in annotations handed to `register_annotations`.
    Its name is `module:qualname` unless given. A class defined again under the same module and name
    (a reloaded module) replaces the former. Finding a known class takes no lock; everything may
    happen in any thread.

    Args:
        module_name: Maps a class's `__module__` to the name other processes know the module by;
            `str` keeps it.

    Attributes:
        module_name: As above. Whoever knows what `__main__` is called elsewhere may set it until
            the first class is looked up.
    """

    def __init__(self, module_name: Callable[[str], str] = str) -> None:
        self.module_name = module_name
        self._by_name: dict[str, tuple[type, Shape]] = {}
        self._by_class: dict[type, tuple[str, Shape]] = {}
        self._subjects: list[object] = []
        self._classes: list[type] = []
        self._hints: list[Hint] = []
        self._seen: set[type] = set()
        self._lock = threading.RLock()

    def register(self, cls: C, name: str | None = None) -> C:
        """Let instances of `cls` travel and return it, as a decorator does.

        Repeating it is harmless. A class that was renamed or moved is registered under its old name
        too: it is found under all its names and sent under the last one given.

        Args:
            cls: An Enum, dataclass, named tuple or pydantic model. Its subclasses are not included,
                the classes of its fields are.
            name: What to call it in payloads instead of `module:qualname`.

        Raises:
            ConfigurationError: `cls` is nothing of the kind, or another class has that name.
        """
        shape = shape_of(cls)
        if shape is None:
            raise ConfigurationError(
                f"{cls.__module__}.{cls.__qualname__} is no Enum, dataclass, named tuple or"
                f" pydantic model; write a ValueCodec for it"
            )
        with self._lock:
            self._classes.append(cls)
            if name is not None:
                if not self._claim(name, cls, shape):
                    raise ConfigurationError(
                        f"another class is called {name!r} in payloads; give"
                        f" {cls.__module__}.{cls.__qualname__} another name"
                    )
                self._by_class[cls] = (name, shape)
        return cls

    def register_annotations(self, subject: object) -> None:
        """Let every class travel that the annotations of a function or class mention.

        Parameters and return value count (of a class, attributes and the constructor's parameters),
        through generics, unions, `Annotated`, aliases, and the fields of the classes found.
        Annotations are resolved when an unknown class or name first turns up, since they may
        refer to what is defined later; one that cannot be resolved stands in nobody's way
        and is tried again the next time.
        """
        with self._lock:
            self._subjects.append(subject)

    def find_class(self, cls: type) -> tuple[str, Shape] | None:
        """Return name and shape of exactly this class, or None if it is not registered."""
        found = self._by_class.get(cls)
        if found is None:
            self._resolve_pending()
            found = self._by_class.get(cls)
        return found

    def find_name(self, name: str) -> tuple[type, Shape] | None:
        """Return class and shape of that name, or None if nothing is registered under it."""
        found = self._by_name.get(name)
        if found is None:
            self._resolve_pending()
            found = self._by_name.get(name)
        return found

    def _resolve_pending(self) -> None:
        with self._lock:
            hints, self._hints = self._hints, []
            for subject in self._subjects:
                hints.extend(hints_of(subject))
            self._subjects.clear()
            for cls in self._classes:
                hints.extend(self._take_in(cls))
            self._classes.clear()
            while hints:
                hint = hints.pop()
                try:
                    annotation = resolve(hint)
                except Exception:  # evaluating an annotation may raise anything
                    self._hints.append(hint)
                    continue
                for cls in classes_in(annotation):
                    hints.extend(self._take_in(cls))

    def _take_in(self, cls: type) -> list[Hint]:
        """Register a class under its default name; return the annotations to follow from there."""
        if cls in self._seen:
            return []
        self._seen.add(cls)
        shape = shape_of(cls)
        if shape is None:
            return list(hints_of(cls)) if typing.is_typeddict(cls) else []
        name = self._default_name(cls)
        if self._claim(name, cls, shape):
            self._by_class.setdefault(cls, (name, shape))
        return list(hints_of(cls))

    def _claim(self, name: str, cls: type, shape: Shape) -> bool:
        holder, _ = self._by_name.get(name, (cls, shape))
        if self._default_name(holder) != self._default_name(cls):
            return False
        self._by_name[name] = (cls, shape)
        return True

    def _default_name(self, cls: type) -> str:
        return f"{self.module_name(cls.__module__)}:{cls.__qualname__}"


default_registry: Final = TypeRegistry()


def register_type(cls: C, name: str | None = None) -> C:
    """Let instances of `cls` travel, in this process; see `TypeRegistry.register`."""
    return default_registry.register(cls, name)
