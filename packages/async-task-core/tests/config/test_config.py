"""Where a setting's value comes from, and what is refused."""

from __future__ import annotations

import os

import pytest
from async_task.config import Config, get_global_config, set_global_config
from async_task.errors import ConfigurationError

SECRET = "hunter2"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("ASYNC_TASK_")]:
        monkeypatch.delenv(name)


def test_a_keyword_wins_over_the_environment_which_wins_over_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert Config.from_env().default_queue == "default"
    monkeypatch.setenv("ASYNC_TASK_DEFAULT_QUEUE", "env")
    assert Config.from_env().default_queue == "env"
    assert Config.from_env(default_queue="keyword").default_queue == "keyword"


def test_the_plain_constructor_does_not_read_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ASYNC_TASK_DEFAULT_QUEUE", "env")
    assert Config().default_queue == "default"


@pytest.mark.parametrize(
    ("variable", "keyword"),
    [
        ("MAX_RETRIES", "default_max_retries"),
        ("RETRY_DELAY", "default_retry_delay"),
        ("TIMEOUT", "default_timeout"),
    ],
)
def test_defaults_of_tasks_have_two_spellings_and_the_long_one_wins(
    monkeypatch: pytest.MonkeyPatch, variable: str, keyword: str
) -> None:
    monkeypatch.setenv(f"ASYNC_TASK_{variable}", "7")
    assert getattr(Config.from_env(), keyword) == 7
    monkeypatch.setenv(f"ASYNC_TASK_DEFAULT_{variable}", "8")
    assert getattr(Config.from_env(), keyword) == 8


@pytest.mark.parametrize(
    ("keyword", "text", "value"),
    [
        ("default_max_retries", "5", 5),
        ("default_retry_delay", "0.5", 0.5),
        ("default_retry_delay", "5", 5.0),
        ("default_timeout", "", None),
        ("default_timeout", "none", None),
        ("default_timeout", "None", None),
        ("default_timeout", "1e3", 1000.0),
        ("driver", "", None),
        ("driver", "none", "none"),
        ("memory_visibility_timeout_seconds", "none", None),
        ("namespace", "", ""),
    ],
)
def test_text_is_read_as_the_type_that_the_setting_declares(
    monkeypatch: pytest.MonkeyPatch, keyword: str, text: str, value: object
) -> None:
    monkeypatch.setenv(f"ASYNC_TASK_{keyword.upper()}", text)
    read = getattr(Config.from_env(), keyword)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("default_max_retries", "many"),
        ("default_max_retries", ""),
        ("default_max_retries", "1.5"),
        ("default_max_retries", None),
        ("default_max_retries", True),
        ("default_retry_delay", "nan"),
        ("default_timeout", "inf"),
        ("visibility_timeout", float("inf")),
        ("grace", 10**400),
        ("default_queue", 5),
        ("driver", 5),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_by_name(keyword: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{keyword} .*ASYNC_TASK_.* takes "):
        Config(**{keyword: value})


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("default_max_retries", -1),
        ("default_retry_delay", -0.1),
        ("default_timeout", 0),
        ("visibility_timeout", 0.5),
        ("grace", -1),
        ("op_timeout", 0),
        ("max_body", 10),
        ("default_queue", "no dots. or spaces"),
        ("default_queue", ""),
        ("default_queue", "-first"),
        ("default_queue", "q" * 81),
        ("default_queue", "queue\n"),
        ("namespace", "Upper"),
        ("namespace", "n" * 41),
    ],
)
def test_a_value_out_of_range_is_refused(keyword: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=keyword.removeprefix("default_")):
        Config(**{keyword: value})


def test_an_unknown_setting_names_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match="'default_quue'; did you mean 'default_queue'"):
        Config(default_quue="x")
    with pytest.raises(ConfigurationError, match=r"unknown setting 'xyzzy'; see docs"):
        Config(xyzzy=1)


def test_settings_of_a_driver_are_attributes_too() -> None:
    assert Config().memory_name == "default"
    assert Config(memory_name="mine").memory_name == "mine"
    with pytest.raises(AttributeError, match="no setting 'memory_nam'"):
        _ = Config().memory_nam


def test_replacing_makes_another_one_and_keeps_the_rest() -> None:
    config = Config(memory_name="mine", grace=1)
    other = config.replace(grace=2)
    assert (config.grace, other.grace) == (1.0, 2.0)
    assert other.memory_name == "mine"
    assert other == Config(grace=2, memory_name="mine")
    assert hash(other) == hash(Config(grace=2, memory_name="mine"))


@pytest.mark.parametrize("keyword", ["grace", "memory_name", "unheard_of"])
def test_a_config_does_not_change(keyword: str) -> None:
    with pytest.raises(AttributeError, match=r"replace\("):
        setattr(Config(), keyword, 1)


def test_a_secret_is_never_shown() -> None:
    config = Config(url=f"memory://user:{SECRET}@host")
    assert SECRET not in repr(config)
    assert SECRET not in str(config)
    assert "url='***'" in repr(config)
    assert repr(Config(url=None, grace=1)) == "Config(url=None, grace=1.0)"


@pytest.mark.parametrize(
    "url",
    [
        f"redis:{SECRET}",
        f"nothing://user:{SECRET}@host",
        f"nothing://user:{SECRET}\u2100@host",
        f"nothing://user:{SECRET}[@host",
    ],
)
def test_no_error_about_a_url_shows_it(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Config(url=url).driver_info()
    assert SECRET not in str(caught.value)


def test_a_secret_of_the_wrong_type_is_not_shown() -> None:
    with pytest.raises(ConfigurationError, match="not the value given") as caught:
        Config(url=SECRET.encode())
    assert SECRET not in str(caught.value)


def test_the_global_configuration_is_the_environment_until_it_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("async_task.config._global", None)
    monkeypatch.setenv("ASYNC_TASK_DEFAULT_QUEUE", "env")
    assert get_global_config().default_queue == "env"
    set_global_config(grace=3)
    assert get_global_config().default_queue == "env"
    assert get_global_config().grace == 3.0
    set_global_config(default_queue="keyword")
    assert get_global_config().default_queue == "keyword"
    assert get_global_config().grace == 25.0
