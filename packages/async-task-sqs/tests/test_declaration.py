"""What is declared without importing the client, and what queues are called."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from async_task.config import Config
from async_task.spi.errors import ConfigurationError
from async_task_sqs.limits import NAME_LENGTH
from async_task_sqs.queues import Queues
from async_task_sqs.settings import SqsSettings

pytestmark = pytest.mark.anyio

ACCOUNT = "https://sqs.eu-west-1.amazonaws.com/123456789012"


def test_declaring_imports_no_client() -> None:
    code = (
        "import sys, async_task_sqs.plugin, async_task_sqs.settings;"
        "print(*{'aiobotocore', 'botocore', 'aiohttp'} & {*sys.modules})"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


@pytest.mark.parametrize(
    ("url", "values"),
    [
        ("sqs://", {}),
        ("sqs://eu-west-1", {"region": "eu-west-1"}),
        (
            "sqs://key:s%2Fcret@eu-west-1",
            {
                "region": "eu-west-1",
                "aws_access_key_id": "key",
                "aws_secret_access_key": "s/cret",
            },
        ),
        (
            "sqs://localhost:4566?region=eu-west-1",
            {"endpoint_url": "http://localhost:4566", "region": "eu-west-1"},
        ),
        ("sqs://sqs.example:443?scheme=https", {"endpoint_url": "https://sqs.example:443"}),
    ],
)
def test_a_url_is_read(url: str, values: dict[str, Any]) -> None:
    assert SqsSettings.from_url(url) == values
    SqsSettings.make(**values)


@pytest.mark.parametrize("url", ["sqs://eu-west-1/queue", "sqs://h:1?secret=x", "sqs://h:none"])
def test_a_url_that_cannot_be_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="sqs://"):
        SqsSettings.from_url(url)


@pytest.mark.parametrize(
    "values",
    [
        {"aws_access_key_id": "key"},
        {"endpoint_url": "localhost:4566"},
        {"queue_url_prefix": "myapp"},
        {"max_message_bytes": 1 << 21},
        {"max_message_bytes": 1024},
    ],
)
def test_what_cannot_be_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(values))):
        SqsSettings(**values)


def test_a_repr_shows_no_secret() -> None:
    settings = SqsSettings(aws_access_key_id="key", aws_secret_access_key="secret")
    assert "secret'" not in repr(settings)
    assert "'key'" not in repr(settings)


def test_settings_have_the_names_that_are_usual_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("ASYNC_TASK_SQS_QUEUE_PREFIX", ACCOUNT)
    monkeypatch.setenv("ASYNC_TASK_SQS_REGION", "eu-west-1")
    config: Any = Config.from_env(driver="sqs")
    assert (config.aws_access_key_id, config.aws_secret_access_key) == ("key", "secret")
    assert (config.sqs_queue_url_prefix, config.sqs_region) == (ACCOUNT, "eu-west-1")


def test_a_namespace_begins_the_names() -> None:
    queues = Queues("shop", SqsSettings())
    assert queues.name("emails") == "shop-emails"
    assert queues.name("emails", dead=True) == "shop-emails-dead"
    assert Queues("", SqsSettings()).name("emails") == "emails"


def test_fifo_queues_are_called_so_and_their_dead_letters_are_not() -> None:
    queues = Queues("shop", SqsSettings(fifo=True))
    assert queues.name("emails") == "shop-emails.fifo"
    assert queues.name("emails", dead=True) == "shop-emails-dead"


@pytest.mark.parametrize("fifo", [False, True])
def test_long_names_stay_apart(fifo: bool) -> None:
    queues = Queues("n" * 40, SqsSettings(fifo=fifo))
    names = {queues.name("q" * 79 + last, dead=dead) for last in "ab" for dead in (False, True)}
    assert len(names) == 4
    assert {len(name) for name in names} == {NAME_LENGTH}


def test_a_queue_cannot_be_the_dead_letters_of_another() -> None:
    with pytest.raises(ConfigurationError, match="emails-dead"):
        Queues("", SqsSettings()).name("emails-dead")


@pytest.mark.parametrize(
    ("prefix", "name"),
    [
        (ACCOUNT, "emails"),
        (f"{ACCOUNT}/", "emails"),
        (f"{ACCOUNT}/prod-", "prod-emails"),
    ],
)
async def test_a_prefix_needs_no_look_up(prefix: str, name: str) -> None:
    queues = Queues("", SqsSettings(queue_url_prefix=prefix))
    nobody: Any = None
    assert queues.name("emails") == name
    assert await queues.find(nobody, "emails") == f"{ACCOUNT}/{name}"
