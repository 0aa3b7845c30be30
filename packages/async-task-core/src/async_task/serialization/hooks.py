"""What a third party implements to send values of its own."""

from __future__ import annotations

from typing import Protocol


class ValueCodec(Protocol):
    """Carry one family of values, for example rows of an ORM as references.

    Called in the order given to `Codec`, after the built-in types and before registered classes.
    Both directions run on the caller's thread and must neither block nor keep state.
    """

    @property
    def tag(self) -> str:
        """Name of this codec in payloads; stored with the data, so keep it for good."""
        ...

    def handles(self, value: object) -> bool:
        """Return whether this codec carries `value`; must not raise."""
        ...

    def encode(self, value: object) -> object:
        """Return an encodable stand-in for `value`; raising refuses the value.

        The exception's text becomes part of the message of the `EncodeError`.
        """
        ...

    def decode(self, data: object) -> object:
        """Return the value `data` stands for; any exception becomes a `DecodeError`.

        `data` comes from the backend and must not be trusted.
        """
        ...
