"""Rows of Django: model instances, fetched by primary key as `aget` would."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from async_task_orm.reference import Reference
from async_task_orm.resolver import ModelCodec, Rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.models import Field


class DjangoCodec(ModelCodec):
    """Carries instances of Django's models; whatever its own setup has made known, is known."""

    tag = "django"

    def handles(self, value: object) -> bool:
        """Return whether `value` is an instance of a model."""
        return self.is_model(type(value))

    def is_model(self, model: type) -> bool:
        """Return whether a class is a model."""
        models = sys.modules.get("django.db.models")
        return models is not None and issubclass(model, models.Model)

    def name_of(self, model: Any) -> str:
        """Return what Django's registry calls a model, for example `shop.order`."""
        name: str = model._meta.label_lower
        return name

    def find(self, name: str) -> type | None:
        """Look a model up in Django's registry."""
        if "django.db.models" not in sys.modules:
            return None
        from django.apps import apps

        label, _, model = name.partition(".")
        models: dict[str, type] = apps.all_models.get(label, {})
        return models.get(model)

    def refer(self, row: Any, name: str) -> Reference:
        """Return the key of a saved row, and its database if that is not where its model is."""
        if row._state.adding or row.pk is None:
            raise ValueError(
                "it is not saved, so no worker would find it; save it, or dispatch without it"
            )
        fields = _fields(type(row))
        parts = row.pk if len(fields) > 1 else (row.pk,)
        # A row that was just created may hold what it was given, such as a UUID as text.
        key = tuple(field.to_python(part) for field, part in zip(fields, parts, strict=True))
        database: str | None = row._state.db
        return Reference(name, key, None if database == _home(type(row)) else database)

    def check(self, model: type, reference: Reference) -> None:
        """Compare a key with the fields of the primary key, as their validators do."""
        from django.db import connections

        fields = _fields(model)
        if len(fields) != len(reference.key):
            raise ValueError(f"its key has {len(fields)} parts")
        for field, part in zip(fields, reference.key, strict=True):
            value = field.to_python(part)
            if type(value) is not type(part) or value != part:
                raise TypeError(f"{field.name} is no {type(part).__name__}")
            field.run_validators(value)  # the range of the column among them
        if reference.database is not None and reference.database not in connections:
            raise ValueError(f"there is no database {reference.database!r:.80}")

    async def fetch(self, references: Sequence[Reference]) -> Rows:
        """Return rows, read in the thread of Django's asynchronous queries."""
        from asgiref.sync import sync_to_async

        # In the thread that Django's own asynchronous queries of this process run in.
        return Rows(self, await sync_to_async(self._rows)(references))

    def _rows(self, references: Sequence[Reference]) -> dict[Reference, Any]:
        from django.db import close_old_connections

        close_old_connections()  # no request begins here, which is when Django does it
        rows: dict[Reference, Any] = {}
        model: Any
        for model, group in self.batches(references):
            database = group[0].database
            single = len(_fields(model)) == 1
            keys = [reference.key[0] if single else reference.key for reference in group]
            found = model._base_manager.using(database or _home(model)).filter(pk__in=keys)
            for row in found:
                key = (row.pk,) if single else tuple(row.pk)
                rows[Reference(group[0].model, key, database)] = row
        return rows


def _fields(model: Any) -> list[Field[Any, Any]]:
    """Return the fields of the primary key; that of a parent where the key is a link to one."""
    fields: list[Any] = list(getattr(model._meta, "pk_fields", (model._meta.pk,)))
    return [_target(field) for field in fields]


def _target(field: Any) -> Any:
    while field.remote_field is not None:
        field = field.target_field
    return field


def _home(model: Any) -> str:
    """Return the database a model is in if nothing else is said.

    The one that is written to: what was just committed need not have reached a replica.
    """
    from django.db import router

    alias: str = router.db_for_write(model)
    return alias


codec = DjangoCodec()
