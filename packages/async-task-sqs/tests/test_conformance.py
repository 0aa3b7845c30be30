from __future__ import annotations

import uuid
from dataclasses import replace

import pytest
from async_task.spi.driver import Driver, DriverOptions
from async_task.testing.conformance import DriverConformance
from async_task.testing.harness import DriverHarness
from async_task_sqs import plugin
from async_task_sqs.driver import SqsDriver
from async_task_sqs.limits import RESERVED_BYTES
from async_task_sqs.settings import SqsSettings

FAUXQS_BYTES = 768 << 10
"""Fauxqs counts the bytes of attributes in base64, a third more than SQS does."""


class SqsHarness(DriverHarness):
    """Makes drivers on one server, each `make` with a namespace of its own."""

    tick_ms = 1000

    def __init__(self, url: str, **settings: object) -> None:
        self._settings = SqsSettings.make(**SqsSettings.from_url(url), **settings)
        self._namespaces: dict[Driver, str] = {}

    async def make(self) -> Driver:
        return self._new(uuid.uuid4().hex)

    async def again(self, driver: Driver) -> Driver:
        return self._new(self._namespaces[driver])

    def _new(self, namespace: str) -> Driver:
        driver = SqsDriver(self._settings, DriverOptions(namespace=namespace), poll_s=1)
        self._namespaces[driver] = namespace
        return driver


class TestMoto(DriverConformance):
    capabilities = plugin.CAPABILITIES

    @pytest.fixture
    def harness(self, moto: str) -> DriverHarness:
        return SqsHarness(moto)


class TestFauxqs(DriverConformance):
    capabilities = replace(plugin.CAPABILITIES, max_body=FAUXQS_BYTES - RESERVED_BYTES)

    @pytest.fixture
    def harness(self, fauxqs: str) -> DriverHarness:
        return SqsHarness(fauxqs, max_message_bytes=FAUXQS_BYTES)
