"""Stand-ins for Amazon SQS: moto, and fauxqs, which is strict about receipts."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen

from async_task.testing.servers.base import LocalServer

if TYPE_CHECKING:
    from collections.abc import Sequence


class MotoServer(LocalServer):
    """The server of moto: all of the interface, in memory; slow beyond a hundred messages a queue.

    It deletes by receipts of leases that ended, hands a message to two who ask at once, and keeps
    the order.
    """

    name = "sqs"
    binary = "moto_server"
    image = "motoserver/moto:latest"
    image_port = 5000

    def command(self, binary: str) -> Sequence[str]:
        """Return the command line."""
        return [binary, "--host", "127.0.0.1", "--port", str(self.port)]

    @classmethod
    def url_at(cls, host: str, port: int) -> str:
        """Return an `sqs://` URL, with credentials that it does not look at."""
        return f"sqs://test:test@{host}:{port}"

    @classmethod
    def answers(cls, host: str, port: int) -> bool:
        """Tell whether it serves SQS, which it loads, in a second or so, when first asked."""
        try:
            with urlopen(f"http://{host}:{port}/?Action=ListQueues", timeout=1):
                return True
        except OSError:
            return False

    @classmethod
    def find_binary(cls) -> str | None:
        """Return the program of this environment, else an installed one."""
        own = Path(sys.executable).with_name(cls.binary)
        return str(own) if own.exists() else shutil.which(cls.binary)


class FauxqsServer(LocalServer):
    """Fauxqs, from npm: in memory too, fast, and a receipt is good while its lease is, as on SQS.

    Version 1.9.2 runs on Node 20, later ones need 22.
    """

    name = "fauxqs"
    binary = "fauxqs"
    image = "kibertoad/fauxqs:1.9.2"
    image_port = 4566

    def command(self, binary: str) -> Sequence[str]:
        """Return the command line."""
        return ["env", f"FAUXQS_PORT={self.port}", "FAUXQS_LOGGER=false", binary]

    @classmethod
    def url_at(cls, host: str, port: int) -> str:
        """Return an `sqs://` URL, with credentials that it does not look at."""
        return f"sqs://test:test@{host}:{port}"
