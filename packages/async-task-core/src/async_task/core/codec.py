"""The codec of this process: the built-in types, and those plug-ins declare."""

from __future__ import annotations

import functools

from async_task.plugins.manager import plugins, resolve
from async_task.serialization.codec import Codec
from async_task.serialization.types import default_registry


@functools.cache
def codec() -> Codec:
    """Return it, made on first use."""
    declared = sorted(plugins().codecs.values(), key=lambda info: -info.priority)
    return Codec(default_registry, [resolve(info.target) for info in declared])
