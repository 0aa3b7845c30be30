"""One declaration per setting.

A driver writes its settings once, as a frozen dataclass of `setting()` fields. From it come the
keyword (`redis_url=`), the environment variable (`ASYNC_TASK_REDIS_URL`), the command-line flag
(`--redis-url`) and the row in the documentation. Reading them is core's business.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self


def setting(
    default: Any,
    doc: str,
    *,
    env: tuple[str, ...] = (),
    secret: bool = False,
    keyword: str | None = None,
) -> Any:
    """Declare one setting; the annotation (`str`, `int`, `float`, `bool`, `| None`) parses it.

    Args:
        default: Its value when nothing else is said.
        doc: One sentence for the documentation and `--help`.
        env: Full names of environment variables that replace (first) and stand beside the regular
            one, for irregular names such as `AWS_ACCESS_KEY_ID`.
        secret: Never shown, also not in `repr`.
        keyword: The whole keyword where it is not `<driver>_<field>`.
    """
    metadata = {"doc": doc, "env": env, "secret": secret, "keyword": keyword}
    return field(default=default, metadata=metadata, repr=not secret)


@dataclass(frozen=True, kw_only=True)
class DriverSettings:
    """Base of every driver's settings."""

    visibility_timeout_seconds: int | None = setting(
        None, "Length of a lease on this driver, instead of `visibility_timeout`."
    )

    @classmethod
    def from_url(cls, url: str) -> dict[str, Any]:
        """Read a URL whose scheme the driver declares into field values.

        The default puts the whole URL into the field `url`.
        """
        return {"url": url}

    @classmethod
    def make(cls, **values: Any) -> Self:
        """Build and validate; raise `ConfigurationError` for values that cannot be."""
        return cls(**values)
