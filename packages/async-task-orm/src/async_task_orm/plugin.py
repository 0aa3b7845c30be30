"""What this package brings: one codec per ORM, none of which imports its ORM."""

from __future__ import annotations

from async_task.spi.plugin import CodecInfo, hookimpl


@hookimpl
def async_task_codecs() -> list[CodecInfo]:
    """Declare the codecs."""
    return [
        CodecInfo(name="sqlalchemy", target="async_task_orm.sqlalchemy:codec"),
        CodecInfo(name="django", target="async_task_orm.django:codec"),
        CodecInfo(name="tortoise", target="async_task_orm.tortoise:codec"),
    ]
