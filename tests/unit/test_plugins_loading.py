"""Which plugins an engine has, and which of them does what: the good, the broken, and two for one thing."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import EntryPoint, distribution
from typing import Any

import pytest

from engine.shell.loader import TRANSCODERS, Loaded, load_transcoders
from plugins.noop.plugin import NoopPlugin
from protocol.capabilities import PluginDescription

HERE = "tests.unit.test_plugins_loading"


class Other(NoopPlugin):
    """Does what `noop` does."""

    name = "other"


class Wide(NoopPlugin):
    """Does that and something of its own."""

    name = "wide"
    operations = ("noop", "frames")


class Nothing:
    """No plugin at all."""


class Partial:
    """Has what can be looked at, and no methods."""

    name = "partial"
    operations = ("noop",)
    probes = describe = plan = read = judge = checks = conclude = None


class Unmakeable(NoopPlugin):
    def __init__(self) -> None:
        raise RuntimeError("no licence")


class Misnamed(NoopPlugin):
    name = "noop2"


class Unknown(NoopPlugin):
    name = "unknown"
    operations = ("sing",)


class Idle(NoopPlugin):
    name = "idle"
    operations = ()


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value if ":" in value else f"{HERE}:{value}", TRANSCODERS)


def ours() -> EntryPoint:
    """The `noop` that this package ships, as its own metadata names it."""
    return next(one for one in distribution("reelyard").entry_points if (one.group, one.name) == (TRANSCODERS, "noop"))


def names(loaded: Loaded) -> list[str]:
    return [plugin.name for plugin in loaded.plugins]


KINDS = "analyze, measure, transcode, handbrake, transcribe, frames, package, live, noop"
BROKEN = {
    "gone": ("nowhere.at.all:Plugin", "ModuleNotFoundError: No module named 'nowhere'"),
    "unmakeable": ("Unmakeable", "RuntimeError: no licence"),
    "nothing": (
        "Nothing",
        "Nothing is no transcoder plugin: it has no name, operations, probes, describe, plan, read, judge, checks, conclude",
    ),
    "partial": (
        "Partial",
        "Partial is no transcoder plugin: probes, describe, plan, read, judge, checks, conclude cannot be called",
    ),
    "misnamed": ("Misnamed", "its entry point calls it misnamed, and it calls itself noop2; give both one name"),
    "unknown": (
        "Unknown",
        f"it does sing, and tasks are: {KINDS}",
    ),
    "idle": (
        "Idle",
        f"it does nothing, and tasks are: {KINDS}",
    ),
}


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_broken_plugin_is_reported_and_left_out_and_the_others_work(name: str) -> None:
    value, problem = BROKEN[name]

    loaded = load_transcoders([ours(), entry(name, value)])

    assert names(loaded) == ["noop"]
    assert loaded.left_out == (PluginDescription(name=name, version="", problem=problem),)


def test_of_two_for_one_thing_ours_does_it_and_the_other_is_reported() -> None:
    loaded = load_transcoders([entry("other", "Other"), ours()])

    problem = "noop does noop already; name the one you want in the setting `plugins`"
    assert (names(loaded), loaded.by_operation["noop"].name) == (["noop"], "noop")
    assert loaded.left_out == (PluginDescription(name="other", version="", problem=problem),)


def test_the_one_that_is_preferred_does_it_and_nothing_is_wrong() -> None:
    loaded = load_transcoders([entry("other", "Other"), ours()], ["other"])

    assert (names(loaded), loaded.by_operation["noop"].name, loaded.left_out) == (["other"], "other", ())


def test_one_with_something_of_its_own_does_that_alone() -> None:
    loaded = load_transcoders([ours(), entry("wide", "Wide")])
    wide = next(plugin for plugin in loaded.plugins if plugin.name == "wide")

    assert {operation: plugin.name for operation, plugin in loaded.by_operation.items()} == {"noop": "noop", "frames": "wide"}
    assert (loaded.operations_of(wide), loaded.left_out) == (frozenset({"frames"}), ())


def test_a_preferred_plugin_that_is_not_installed_is_reported() -> None:
    loaded = load_transcoders([ours()], ["gif"])

    problem = "the setting `plugins` names it, and it is not installed"
    assert (names(loaded), loaded.left_out) == (["noop"], (PluginDescription(name="gif", version="", problem=problem),))


@pytest.mark.parametrize("order", [("other", "noop"), ("noop", "other")])
def test_the_order_of_discovery_does_not_matter(order: Sequence[str]) -> None:
    found: dict[str, Any] = {"other": entry("other", "Other"), "noop": ours()}

    assert names(load_transcoders([found[name] for name in order])) == ["noop"]
