"""Installed plug-ins are found; a bad one says so by name, to who needs it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from async_task.config import Config
from async_task.errors import (
    IncompatiblePluginError,
    PluginConflictError,
    PluginError,
    UnknownDriverError,
)
from async_task.plugins.manager import plugins, resolve

Install = Callable[..., None]

BROKEN = "import no_such_client_library"
FROM_LATER = """
    from async_task.spi.plugin import DriverInfo, hookimpl

    @hookimpl
    def async_task_drivers():
        return [DriverInfo(name="redis", a_field_of_later=1)]
"""


def test_the_memory_driver_and_the_commands_are_built_in(install: Install) -> None:
    assert list(plugins().drivers) == ["memory"]
    assert "worker" in plugins().commands
    assert plugins().plugins == []


def test_an_installed_driver_is_found_by_name_and_scheme(install: Install) -> None:
    install("fake")
    assert plugins().driver("fake").name == "fake"
    assert plugins().driver_for_scheme("fake").name == "fake"
    (plugin,) = plugins().plugins
    assert (plugin.name, plugin.distribution, plugin.version) == ("fake", "dist-fake", "1.0")
    assert plugin.error is None


def test_a_missing_driver_of_ours_says_how_to_install_it(install: Install) -> None:
    hint = r'pip install "async-task\[redis\]" \(installed: memory\)'
    with pytest.raises(UnknownDriverError, match=hint):
        plugins().driver("redis")
    with pytest.raises(UnknownDriverError, match=hint):
        plugins().driver_for_scheme("rediss")


def test_a_driver_that_nobody_knows_lists_what_is_there(install: Install) -> None:
    with pytest.raises(UnknownDriverError, match="no driver 'redsi'; installed drivers: memory"):
        plugins().driver("redsi")


def test_two_plugins_of_one_name_are_both_named(install: Install) -> None:
    install("fake", distribution="one")
    install("fake", distribution="two")
    with pytest.raises(PluginConflictError, match=r"'fake': one of (one|two), one of (one|two)"):
        plugins()


def test_two_drivers_of_one_name_are_both_named(install: Install) -> None:
    install("fake", distribution="one")
    install("other", distribution="two", source=_as_driver("fake"))
    with pytest.raises(PluginConflictError, match=r"two and one both declare 'fake'"):
        plugins()


def test_two_drivers_of_one_scheme_are_both_named_and_can_be_told_apart(install: Install) -> None:
    install("fake")
    install("other", source=_as_driver("other", "fake"))
    with pytest.raises(
        PluginConflictError, match=r"'fake' URLs: 'fake', 'other'; say which by driver=NAME"
    ):
        plugins().driver_for_scheme("fake")
    assert Config(driver="other", url="fake://host").driver_info().name == "other"


def test_a_plugin_cannot_replace_a_built_in_driver(install: Install) -> None:
    install("other", source=_as_driver("memory"))
    with pytest.raises(PluginConflictError, match="dist-other and async-task-core both declare"):
        plugins()


def test_another_version_of_the_interface_hurts_only_who_asks_for_the_driver(
    install: Install,
) -> None:
    install("old", spi_version=0)
    assert plugins().driver("memory").name == "memory"
    with pytest.raises(IncompatiblePluginError, match=r"'old' .* version 0 .* version 1"):
        plugins().driver("old")
    with pytest.raises(IncompatiblePluginError, match=r"'old' .* version 0 .* version 1"):
        plugins().driver_for_scheme("old")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (BROKEN, "ModuleNotFoundError: No module named 'no_such_client_library'"),
        ("raise RuntimeError('no such luck')", "RuntimeError: no such luck"),
        (
            FROM_LATER,
            "TypeError: .*a_field_of_later",
        ),
    ],
)
def test_a_plugin_that_does_not_load_hurts_only_who_needs_it(
    install: Install, source: str, reason: str
) -> None:
    install("redis", source=source)
    assert Config(driver="memory").driver_info().name == "memory"
    (plugin,) = plugins().plugins
    assert plugin.error is not None
    expected = rf"'redis' of dist-redis cannot be used: {reason}"
    with pytest.raises(PluginError, match=expected):
        plugins().driver("redis")
    with pytest.raises(PluginError, match=expected):
        plugins().driver_for_scheme("redis")
    with pytest.raises(PluginError, match=expected):
        Config(redis_url="redis://")


def test_settings_that_do_not_load_hurt_only_who_needs_them(install: Install) -> None:
    install("fake", settings=BROKEN)
    assert Config(driver="memory").driver_info().name == "memory"
    with pytest.raises(PluginError, match=r"Settings', .* imported: ModuleNotFoundError"):
        Config(fake_url="fake://")


def test_the_allow_list_leaves_out_what_it_does_not_name(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("fake")
    install("other")
    monkeypatch.setenv("ASYNC_TASK_PLUGINS", " other ,third")
    plugins.cache_clear()
    assert set(plugins().drivers) == {"memory", "other"}
    with pytest.raises(UnknownDriverError, match=r"PLUGINS does not list it; add 'fake'"):
        plugins().driver("fake")


@pytest.mark.parametrize("target", ["no_such_module:x", "async_task.config:no_such_name", "json"])
def test_a_target_that_is_not_there_is_named(target: str) -> None:
    with pytest.raises(PluginError, match=f"'{target}'"):
        resolve(target)


def _as_driver(name: str, *schemes: str) -> str:
    from textwrap import dedent

    return dedent(
        f"""
        from async_task.spi.capabilities import Capabilities
        from async_task.spi.plugin import DriverInfo, hookimpl

        @hookimpl
        def async_task_drivers():
            return [
                DriverInfo(
                    name="{name}", schemes={schemes}, factory="", settings="",
                    capabilities=Capabilities(), summary="", spi_version=1,
                )
            ]
        """
    )
