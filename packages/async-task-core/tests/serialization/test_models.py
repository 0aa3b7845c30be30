"""Pydantic models travel by field and are validated on arrival."""

import enum
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID, uuid4

import msgpack
import pytest
from async_task.errors import DecodeError, EncodeError
from async_task.serialization import wire
from async_task.serialization.codec import Codec
from async_task.serialization.types import TypeRegistry

pytest.importorskip("pydantic", reason="pydantic's models are carried where it is installed")
import pydantic


class Kind(enum.Enum):
    A = "a"


class Line(pydantic.BaseModel):
    price: Decimal
    kind: Kind = Kind.A


class Order(pydantic.BaseModel):
    id: UUID = pydantic.Field(default_factory=uuid4)
    at: datetime
    lines: list[Line] = []
    tags: set[str] = set()
    pair: tuple[int, str] = (1, "x")
    mail: str | None = pydantic.Field(default=None, alias="eMail", max_length=20)


class Open(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    x: int = 0


class Many(pydantic.RootModel[list[Line]]):
    pass


class Old(pydantic.BaseModel):
    gone: int = pydantic.Field(default=1, deprecated="gone")


class Node(pydantic.BaseModel):
    children: list["Node"] = []


def tasks(order: Order, many: Many, extra: Open, node: Node | Old) -> None: ...


registry = TypeRegistry()
registry.register_annotations(tasks)
codec = Codec(registry)


@pytest.mark.parametrize(
    "value",
    [
        Order(at=datetime(2024, 1, 1, tzinfo=UTC), lines=[Line(price=Decimal("1.10"))], tags={"a"}),
        Order(at=datetime(2024, 1, 1, tzinfo=UTC), eMail="a@b"),
        Open.model_validate({"x": 1, "y": [(1,)]}),
        Many([Line(price=Decimal(1))]),
        Old(),
        Node(children=[Node(), Node(children=[Node()])]),
    ],
)
def test_models_come_back(value: pydantic.BaseModel) -> None:
    decoded = codec.decode(codec.encode(value))
    assert isinstance(decoded, pydantic.BaseModel)
    assert type(decoded) is type(value)
    assert decoded == value
    assert decoded.model_fields_set == value.model_fields_set


def test_an_unset_field_keeps_its_value() -> None:
    order = Order(at=datetime(2024, 1, 1, tzinfo=UTC))
    assert codec.decode(codec.encode(order)) == order


def test_paths_lead_into_models() -> None:
    line = Line.model_construct(price=object())
    with pytest.raises(EncodeError) as caught:
        codec.encode(Order(at=datetime(2024, 1, 1, tzinfo=UTC), lines=[line]), "order")
    assert caught.value.path == "order.lines[0].price"


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([0, "at", "secret value"], "at: "),
        ([0], "at: "),
        ([0, "at", None, "unknown", 1], "unknown"),
        ([[], "at", None], "Order"),
        ([], "Order"),
        ([0, "eMail", "secret value"], "eMail"),
    ],
)
def test_what_does_not_validate_is_refused(members: list[object], message: str) -> None:
    name = f"{__name__}:Order"
    data = msgpack.packb(msgpack.ExtType(wire.MODEL, msgpack.packb([name, *members])))
    with pytest.raises(DecodeError, match=message) as caught:
        codec.decode(data)
    assert "secret" not in str(caught.value)


def test_nothing_of_pydantic_itself_is_registered() -> None:
    assert registry.find_class(Order)
    assert registry.find_class(pydantic.BaseModel) is None
