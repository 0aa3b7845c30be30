"""Payloads that name what they should not: nothing is imported, looked up in a database or run."""

from __future__ import annotations

import sys
import uuid
from collections.abc import AsyncIterator
from typing import Any

import django
import pytest
from async_task import task
from async_task.core.envelope import Envelope
from async_task.serialization import wire
from async_task.serialization.scalars import ENCODERS
from async_task_orm import register_model
from django.conf import settings as django_settings
from django.utils.translation import gettext
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from tortoise import Tortoise, fields
from tortoise.models import Model

if not django_settings.configured:
    django_settings.configure()
django.setup()

from django.db import models  # noqa: E402 - needs the settings

pytestmark = pytest.mark.anyio


class Base(DeclarativeBase):
    pass


class Mapping(Base):
    __tablename__ = "target"
    id: Mapped[int] = mapped_column(primary_key=True)


class Target(models.Model):
    id: Any = models.AutoField(primary_key=True)

    class Meta:
        app_label = "hostile"


class Fish(Model):
    id = fields.IntField(primary_key=True)


register_model(Target, name="target of django")

NAMES = {"sqlalchemy": "Mapping", "django": "hostile.target", "tortoise": "hostile.Fish"}

ran: list[Any] = []


@task
async def trust(row: Any) -> None:
    ran.append(row)


def pack(value: Any) -> bytes:
    """Encode anything at all, as an attacker could."""

    def default(value: Any) -> Any:
        code, encode = ENCODERS[type(value)]
        return wire.ext(code, encode(value))

    return wire.pack(value, default)


def payload(tag: str, data: object, wrap: Any = lambda reference: reference) -> bytes:
    reference = wire.ext(wire.CUSTOM, pack([tag, data]))
    return wire.pack([[wrap(reference)], {}], lambda value: value)


@pytest.fixture
async def tortoise() -> AsyncIterator[None]:
    config = {
        "connections": {"hostile": "sqlite://:memory:"},
        "apps": {"hostile": {"models": [__name__], "default_connection": "hostile"}},
    }
    context = await Tortoise.init(config=config, _enable_global_fallback=True)
    yield
    await context.close_connections()


HOSTILE: dict[str, Any] = {
    "unregistered": lambda _: ["Unheard", [1]],
    "class path": lambda _: ["os.path:join", [1]],
    "module": lambda _: ["antigravity.this", [1]],
    "the name of another's model": lambda _: ["target of django ", [1]],
    "no key": lambda name: [name, []],
    "two keys": lambda name: [name, [1, 2]],
    "null": lambda name: [name, [None]],
    "text": lambda name: [name, ["1 OR 1=1"]],
    "digits": lambda name: [name, ["1"]],
    "another type": lambda name: [name, [uuid.UUID(int=1)]],
    "list": lambda name: [name, [[1]]],
    "dict": lambda name: [name, [{"id": 1}]],
    "huge": lambda name: [name, [2**70]],
    "database": lambda name: [name, [1], "nowhere"],
    "odd database": lambda name: [name, [1], 7],
    "too long": lambda name: [name, [1], None, 1],
    "no name": lambda _: [[1], [1]],
    "text instead": lambda name: name,
    "nothing": lambda _: None,
    "class path as in other queues": lambda _: {"__orm_class__": "os.path", "pk": 1},
}


@pytest.mark.parametrize("tag", NAMES)
async def test_hostile_references_are_dead_letters(tag: str, queue: Any, tortoise: None) -> None:
    """All of them in one go, each beside others that a worker takes together."""
    ran.clear()
    bodies: dict[bytes, str] = {}
    for name, make in HOSTILE.items():
        body = Envelope(trust.name, payload(tag, make(NAMES[tag])), 0).pack()
        bodies[body] = name
        await queue.put(body)
    nested = payload(tag, ["Unheard", [1]], lambda reference: [{"a": [reference]}])
    bodies[Envelope(trust.name, nested, 0).pack()] = "nested"
    await queue.put(Envelope(trust.name, nested, 0).pack())
    gettext("Django translates its errors, which imports what does that")
    before = set(sys.modules)
    await queue.work()
    reasons = {bodies[dead.body]: dead.reason for dead in await queue.dead()}
    assert reasons == dict.fromkeys([*HOSTILE, "nested"], "bad_payload")
    assert ran == []
    assert set(sys.modules) == before
