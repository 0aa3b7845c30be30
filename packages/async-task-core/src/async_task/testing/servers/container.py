"""Servers in containers, where testcontainers is installed and a Docker engine answers."""

from __future__ import annotations

import importlib
import importlib.util
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping


def docker_answers() -> bool:
    """Tell whether containers can be started here."""
    if importlib.util.find_spec("testcontainers") is None:
        return False
    docker: Any = importlib.import_module("docker")
    try:
        client = docker.from_env(timeout=5)
    except docker.errors.DockerException:
        return False
    try:
        return bool(client.ping())
    except docker.errors.DockerException:
        return False
    finally:
        client.close()


@contextmanager
def container(image: str, port: int, environment: Mapping[str, str]) -> Generator[tuple[str, int]]:
    """Run a container; yield the host and port at which its `port` is reached."""
    core: Any = importlib.import_module("testcontainers.core.container")
    made = core.DockerContainer(image).with_exposed_ports(port)
    for name, value in environment.items():
        made = made.with_env(name, value)
    with made as running:
        yield running.get_container_host_ip(), int(running.get_exposed_port(port))
