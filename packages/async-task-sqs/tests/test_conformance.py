from __future__ import annotations

import asyncio
import contextlib
import json
import os
import urllib.error
import urllib.request
import uuid
from dataclasses import replace

import pytest
from async_task.spi.capabilities import Delay
from async_task.spi.driver import Driver, DriverOptions
from async_task.testing.conformance import DriverConformance
from async_task.testing.harness import DriverHarness
from async_task.testing.rig import QUEUES
from async_task_sqs import plugin
from async_task_sqs.driver import SqsDriver
from async_task_sqs.limits import FIFO, RESERVED_BYTES
from async_task_sqs.settings import SqsSettings

FULL = os.environ.get("ASYNC_TASK_FAULTS") == "full"
"""Conformance on FIFO queues takes minutes; `test_fifo` tries in every run what is different."""
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


class FauxqsHarness(SqsHarness):
    """Fauxqs looks at its clock when somebody receives; counting alone does not make it."""

    def __init__(self, url: str, **settings: object) -> None:
        super().__init__(url, **settings)
        self._endpoint = SqsSettings.from_url(url)["endpoint_url"]

    async def advance(self, ms: int) -> None:
        await super().advance(ms)
        for namespace in set(self._namespaces.values()):
            for queue in QUEUES:
                suffix = FIFO if self._settings.fifo else ""
                await asyncio.to_thread(self._receive_nothing, f"{namespace}-{queue}{suffix}")

    def _receive_nothing(self, queue: str) -> None:
        """Fauxqs takes what is no number for a number of messages, and then hands out none."""
        port = self._endpoint.rpartition(":")[2]
        url = f"http://sqs.us-east-1.localhost:{port}/000000000000/{queue}"
        body = {"QueueUrl": url, "MaxNumberOfMessages": "no"}
        request = urllib.request.Request(
            self._endpoint,
            data=json.dumps(body).encode(),
            headers={
                "Content-Type": "application/x-amz-json-1.0",
                "X-Amz-Target": "AmazonSQS.ReceiveMessage",
            },
        )
        with contextlib.suppress(urllib.error.HTTPError):  # no such queue
            urllib.request.urlopen(request, timeout=5).close()


class TestMoto(DriverConformance):
    capabilities = plugin.CAPABILITIES

    @pytest.fixture
    def harness(self, moto: str) -> DriverHarness:
        return SqsHarness(moto)


class TestFauxqs(DriverConformance):
    capabilities = replace(plugin.CAPABILITIES, max_body=FAUXQS_BYTES - RESERVED_BYTES)

    @pytest.fixture
    def harness(self, fauxqs: str) -> DriverHarness:
        return FauxqsHarness(fauxqs, max_message_bytes=FAUXQS_BYTES)


class TestMotoFifo(DriverConformance):
    __test__ = FULL
    capabilities = replace(TestMoto.capabilities, delay=Delay.NONE)

    @pytest.fixture
    def harness(self, moto: str) -> DriverHarness:
        return SqsHarness(moto, fifo=True)


class TestFauxqsFifo(DriverConformance):
    __test__ = FULL
    capabilities = replace(TestFauxqs.capabilities, delay=Delay.NONE)

    @pytest.fixture
    def harness(self, fauxqs: str) -> DriverHarness:
        return FauxqsHarness(fauxqs, fifo=True, max_message_bytes=FAUXQS_BYTES)
