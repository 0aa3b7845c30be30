"""Rows of Tortoise: model instances, fetched by primary key."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from async_task.errors import ConfigurationError

from async_task_orm.reference import Reference
from async_task_orm.resolver import ModelCodec, Rows

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from async_task.core.context import TaskContext
    from async_task.core.middleware import Run
    from tortoise.context import TortoiseContext


class TortoiseCodec(ModelCodec):
    """Carries instances of the models that Tortoise was initialised with."""

    tag = "tortoise"

    def handles(self, value: object) -> bool:
        """Return whether `value` is an instance of a model."""
        return self.is_model(type(value))

    def is_model(self, model: type) -> bool:
        """Return whether a class is a model."""
        models = sys.modules.get("tortoise.models")
        return models is not None and issubclass(model, models.Model)

    def name_of(self, model: Any) -> str:
        """Return app and name of a model, for example `shop.Order`."""
        return f"{model._meta.app}.{model.__name__}"

    def find(self, name: str) -> type | None:
        """Look a model up among those Tortoise was initialised with."""
        if not _is_initialised():
            return None
        from tortoise import Tortoise

        app, _, model = name.partition(".")
        apps = Tortoise.apps
        return None if apps is None else dict(apps.items()).get(app, {}).get(model)

    def refer(self, row: Any, name: str) -> Reference:
        """Return the key of a saved row."""
        if not row._saved_in_db or row.pk is None:
            raise ValueError(
                "it is not saved, so no worker would find it; save it, or dispatch without it"
            )
        return Reference(name, (row.pk,))

    def check(self, model: Any, reference: Reference) -> None:
        """Compare a key with the field of the primary key."""
        field = model._meta.pk
        (part,) = reference.key
        if not isinstance(part, field.field_type) or isinstance(part, bool):
            raise TypeError(f"{field.model_field_name} is no {type(part).__name__}")
        field.validate(part)
        if reference.database is not None:
            raise ValueError("a model of Tortoise says itself where it is")

    def decode(self, data: object) -> Reference:
        """Return the reference that came, checked if the models are known by now."""
        # Before it is initialised, Tortoise knows no models; then `fetch` checks them.
        return super().decode(data) if _is_initialised() else Reference.unpack(data)

    async def fetch(self, references: Sequence[Reference]) -> Rows:
        """Return rows; initialise Tortoise first where that is still to be done."""
        if not _is_initialised():
            await _initialise()
            for reference in references:
                super().decode(reference.pack())
        rows: dict[Reference, Any] = {}
        model: Any
        for model, group in self.batches(references):
            for row in await model.filter(pk__in=[reference.key[0] for reference in group]):
                rows[Reference(group[0].model, (row.pk,))] = row
        return Rows(self, rows)


codec = TortoiseCodec()

_config: Mapping[str, Any] | None = None
_open: AsyncGenerator[None] | None = None


def set_tortoise_config(config: Mapping[str, Any]) -> None:
    """Have workers and their child processes initialise Tortoise before the first task runs.

    Not needed where the program that runs the worker has done so. Call it where the tasks are
    defined. Connections are closed with the worker's event loop.

    Args:
        config: What `Tortoise.init(config=...)` takes.
    """
    from async_task.core.middleware import Middleware, add_middleware

    class Initialised(Middleware):
        async def execute(self, context: TaskContext, run: Run) -> Any:
            if not _is_initialised():
                await _initialise()
            return await run()

    global _config
    if _config is None:
        add_middleware(Initialised())
    _config = config


def _is_initialised() -> bool:
    tortoise = sys.modules.get("tortoise")
    return tortoise is not None and tortoise.Tortoise.is_inited()


async def _initialise() -> None:
    from tortoise import Tortoise

    global _open
    if _config is None:
        raise ConfigurationError(
            "Tortoise is not initialised in this process; call Tortoise.init() before the worker"
            " starts, or set_tortoise_config(...) where the tasks are defined"
        )
    # The fallback is for code that runs in other contexts than this, as every task does.
    context = await Tortoise.init(config=dict(_config), _enable_global_fallback=True)
    _open = _closing_with_loop(context)
    await anext(_open)


async def _closing_with_loop(context: TortoiseContext) -> AsyncGenerator[None]:
    """Close the connections when the loop shuts its asynchronous generators down.

    Left open, that of SQLite would keep the process from ending.
    """
    try:
        yield
    finally:
        await context.close_connections()
