"""Which classes a payload may name, and how they get there."""

import dataclasses
import enum
import functools
import threading
import typing
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from async_task.errors import ConfigurationError, DecodeError, EncodeError
from async_task.serialization.codec import Codec
from async_task.serialization.types import TypeRegistry, default_registry, register_type


def test_default_names_are_fixed_by_the_module() -> None:
    registry = TypeRegistry()
    registry.register(Color)
    name = f"{__name__}:Color"
    assert (registry.find_class(Color) or ())[:1] == (name,)
    assert (registry.find_name(name) or ())[:1] == (Color,)


class Color(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Inner:
    color: "Color"


@dataclasses.dataclass
class Outer:
    inner: "Inner | None" = None
    more: "dict[str, list[Leaf]]" = dataclasses.field(default_factory=dict)


class Sub(Outer):
    pass


class Leaf(typing.NamedTuple):
    mode: "Mode"


class Mode(enum.StrEnum):
    FAST = "fast"


class Options(typing.TypedDict):
    level: "Level"


class Level(enum.IntEnum):
    LOW = 1


class Extra(enum.Enum):
    A = 1


Alias = typing.NewType("Alias", Extra)
T = typing.TypeVar("T", bound=Color)


def knows(registry: TypeRegistry, *classes: type) -> bool:
    return all(registry.find_class(cls) for cls in classes)


def annotated_by(annotation: object) -> TypeRegistry:
    def subject(x: object) -> None: ...

    subject.__annotations__["x"] = annotation
    registry = TypeRegistry()
    registry.register_annotations(subject)
    return registry


@pytest.mark.parametrize(
    ("annotation", "found"),
    [
        (Color, [Color]),
        ("Color", [Color]),
        (Color | None, [Color]),
        (typing.Optional["Color"], [Color]),
        (list["Color"], [Color]),
        (dict[str, tuple[Color, ...]], [Color]),
        (typing.Annotated[list[Color], Extra], [Color]),
        (Callable[[Color], Extra], [Color, Extra]),
        (Alias, [Extra]),
        (T, [Color]),
        (Outer, [Outer, Inner, Color, Leaf, Mode]),
        (Options, [Level]),
        (type[Color], [Color]),
    ],
)
def test_annotations_are_followed(annotation: object, found: list[type]) -> None:
    registry = annotated_by(annotation)
    assert knows(registry, *found)
    others = {Color, Outer, Inner, Leaf, Mode, Level, Extra} - set(found)
    assert not any(registry.find_class(cls) for cls in others)


def test_literals_and_subclasses_do_not_register() -> None:
    assert not annotated_by(typing.Literal[Color.RED]).find_class(Color)
    registry = annotated_by(Outer)
    codec = Codec(registry)
    assert codec.encode(Outer())
    with pytest.raises(EncodeError, match="Sub"):
        codec.encode(Sub())


def test_return_values_wrappers_partials_methods_and_constructors_count() -> None:
    def returns() -> Color:
        return Color.RED

    @functools.wraps(returns)
    def wrapper(*args: object) -> object: ...

    class Job:
        mode: Mode

        def __init__(self, level: Level) -> None: ...

        def handle(self) -> Extra:
            return Extra.A

        def __call__(self) -> Leaf:
            return Leaf(Mode.FAST)

    registry = TypeRegistry()
    for subject in (wrapper, functools.partial(returns), Job, Job.handle, len, 3, object):
        registry.register_annotations(subject)
    assert knows(registry, Color, Mode, Level, Extra)
    assert not registry.find_class(Leaf)
    registry.register_annotations(Job(Level.LOW))
    assert knows(registry, Leaf)


def test_an_annotation_that_cannot_be_resolved_hinders_nobody() -> None:
    def broken(a: object, b: "Color", c: object) -> None: ...

    broken.__annotations__ |= {"a": "Missing", "c": "1 / 0"}

    def fine(x: Extra) -> None: ...

    registry = TypeRegistry()
    registry.register_annotations(broken)
    registry.register_annotations(fine)
    assert knows(registry, Color, Extra)
    globals()["Missing"] = Level
    try:
        assert knows(registry, Level)
    finally:
        del globals()["Missing"]


def test_names_follow_the_module_name_hook() -> None:
    registry = TypeRegistry()
    registry.register(Color)
    registry.module_name = lambda module: f"app.{module.rpartition('.')[2]}"
    worker = TypeRegistry()
    worker.register(Color, f"app.{__name__.rpartition('.')[2]}:Color")
    assert Codec(worker).decode(Codec(registry).encode(Color.RED)) is Color.RED


def test_old_names_stay_readable() -> None:
    before, after = TypeRegistry(), TypeRegistry()
    before.register(Color, "shop:Colour")
    after.register(Color)
    data = Codec(before).encode(Color.RED)
    with pytest.raises(DecodeError, match="shop:Colour"):
        Codec(after).decode(data)
    after.register(Color, "shop:Colour")
    assert Codec(after).decode(data) is Color.RED
    assert Codec(after).decode(Codec(annotated_by(Color)).encode(Color.RED)) is Color.RED


def test_one_name_is_one_class() -> None:
    registry = TypeRegistry()
    registry.register(Color, "x")
    assert registry.register(Color, "x") is Color
    with pytest.raises(ConfigurationError, match="'x'"):
        registry.register(Extra, "x")
    registry.register(Extra, f"{__name__}:Level")
    registry.register(Level)
    assert registry.find_class(Level) is None, "its name means another class"


def test_a_reloaded_class_replaces_the_former() -> None:
    def define() -> enum.Enum:
        class Local(enum.Enum):
            A = 1

        return Local.A

    first, second = define(), define()
    registry = TypeRegistry()
    codec = Codec(registry)
    registry.register(type(first))
    data = codec.encode(first)
    registry.register(type(second))
    codec.encode(second)
    assert codec.decode(data) is second


def test_only_classes_that_can_travel_are_registered() -> None:
    with pytest.raises(ConfigurationError, match="ValueCodec"):
        TypeRegistry().register(int)


def test_the_default_registry_serves_the_decorator() -> None:
    @register_type
    class Local(enum.Enum):
        A = 1

    codec = Codec(default_registry)
    assert codec.decode(codec.encode(Local.A)) is Local.A


def test_threads_see_what_another_one_is_resolving() -> None:
    for _ in range(20):
        registry = annotated_by(Outer)
        barrier = threading.Barrier(4)

        def look(registry: TypeRegistry, barrier: threading.Barrier) -> bool:
            barrier.wait()
            return knows(registry, Mode)

        with ThreadPoolExecutor(4) as pool:
            looks = [pool.submit(look, registry, barrier) for _ in range(4)]
        assert [look.result() for look in looks] == [True] * 4
