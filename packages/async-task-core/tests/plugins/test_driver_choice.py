"""Which driver a configuration chooses, and with which settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from async_task.config import Config
from async_task.errors import ConfigurationError, UnknownDriverError

Install = Callable[..., None]


def chosen(config: Config) -> str:
    return config.driver_info().name


def settings(config: Config) -> Any:
    return config.driver_settings(config.driver_info())


def test_the_only_driver_installed_is_chosen_and_memory_does_not_count(install: Install) -> None:
    with pytest.raises(UnknownDriverError, match=r'pip install "async-task\[sqlite\]"'):
        chosen(Config())
    install("fake")
    assert chosen(Config()) == "fake"
    install("other")
    with pytest.raises(ConfigurationError, match=r"several are installed: fake, other; set driver"):
        chosen(Config())


def test_the_one_driver_whose_settings_are_given_is_chosen(install: Install) -> None:
    install("fake")
    install("other")
    assert chosen(Config(other_durable=False)) == "other"
    assert chosen(Config(other_password=None, fake_durable=True)) == "fake"
    assert chosen(Config(memory_name="mine")) == "memory"
    with pytest.raises(ConfigurationError, match=r"settings of several drivers .*: fake, other"):
        chosen(Config(other_durable=False, fake_durable=True))


def test_a_setting_whose_name_others_share_chooses_nothing(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("fake")
    install("other")
    monkeypatch.setenv("FAKE_KEY", "k")
    config = Config.from_env(other_durable=True)
    assert chosen(config) == "other"
    assert settings(config.replace(driver="fake")).key == "k"


def test_a_url_chooses_by_its_scheme_and_goes_before_settings(install: Install) -> None:
    install("fake")
    install("other")
    assert chosen(Config(url="fake://host")) == "fake"
    assert chosen(Config(url="FAKE://host")) == "fake"
    assert chosen(Config(url="fake://host", other_durable=False)) == "fake"
    assert settings(Config(url="fake://host")).url == "fake://host"


def test_a_driver_by_name_goes_before_everything(install: Install) -> None:
    install("fake")
    install("other")
    config = Config(driver="other", url="fake://host", fake_durable=False)
    assert chosen(config) == "other"
    assert settings(config).url == "other://localhost"


def test_a_setting_given_by_name_goes_before_the_same_one_of_the_url(install: Install) -> None:
    install("fake")
    assert (
        settings(Config(url="fake://a", fake_url="fake://b", fake_password="p")).url == "fake://b"
    )


def test_a_url_by_keyword_goes_before_a_driver_of_the_environment(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("fake")
    install("other")
    monkeypatch.setenv("ASYNC_TASK_DRIVER", "other")
    assert chosen(Config.from_env()) == "other"
    assert chosen(Config.from_env(url="fake://host")) == "fake"
    assert chosen(Config.from_env(url="fake://host", driver="other")) == "other"
    assert chosen(Config.from_env(url=None)) == "other"


def test_a_url_by_keyword_goes_before_what_the_environment_says_about_the_same(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("fake")
    monkeypatch.setenv("ASYNC_TASK_FAKE_URL", "fake://environment")
    monkeypatch.setenv("ASYNC_TASK_FAKE_PASSWORD", "secret")
    assert settings(Config.from_env()).url == "fake://environment"
    given = settings(Config.from_env(url="fake://keyword"))
    assert (given.url, given.password) == ("fake://keyword", "secret")


def test_a_driver_by_keyword_goes_before_a_url_of_the_environment(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("fake")
    monkeypatch.setenv("ASYNC_TASK_URL", "fake://host")
    assert chosen(Config.from_env()) == "fake"
    assert chosen(Config.from_env(driver="memory")) == "memory"


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", True), ("true", True), ("YES", True), ("on", True), ("0", False), ("No", False)],
)
def test_truth_is_read_from_text(
    install: Install, monkeypatch: pytest.MonkeyPatch, text: str, value: bool
) -> None:
    install("fake")
    monkeypatch.setenv("ASYNC_TASK_FAKE_DURABLE", text)
    assert Config.from_env().fake_durable is value


def test_what_is_neither_true_nor_false_is_refused(install: Install) -> None:
    install("fake")
    with pytest.raises(ConfigurationError, match=r"fake_durable .* takes bool, not 'maybe'"):
        Config(fake_durable="maybe")


def test_a_setting_of_a_missing_driver_says_how_to_install_it(install: Install) -> None:
    with pytest.raises(UnknownDriverError, match=r"'redis_url' .* pip install \"async-task\[redis"):
        Config(redis_url="redis://localhost")


def test_a_misspelt_setting_of_a_driver_names_the_nearest(install: Install) -> None:
    install("fake")
    with pytest.raises(ConfigurationError, match="'fake_pasword'; did you mean 'fake_password'"):
        Config(fake_pasword="x")


def test_a_secret_of_a_driver_is_never_shown(install: Install) -> None:
    install("fake")
    config = Config(url="fake://u:hunter2@h", fake_password="hunter2")
    assert "hunter2" not in f"{config!r} {config} {settings(config)!r}"
    with pytest.raises(ConfigurationError) as caught:
        Config(fake_password=["hunter2"])
    assert "hunter2" not in str(caught.value)
