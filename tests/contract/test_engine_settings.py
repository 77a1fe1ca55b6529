"""The engine's settings: arguments over environment over file, and every mistake named."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.engine import EngineSettings
from config.sources import SettingsProblem, read_settings

SERVER = {"server": "http://box:8080"}


def read(
    arguments: dict[str, object], environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, toml: Path | None = None
) -> EngineSettings:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return read_settings(EngineSettings, arguments, toml=toml, environ=environ)


def test_arguments_come_before_the_environment_and_the_environment_before_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    toml = tmp_path / "engine.toml"
    toml.write_text('server = "http://file"\nname = "file"\nslots = 3\n')
    environ = {"REELYARD_ENGINE_SERVER": "http://environment", "REELYARD_ENGINE_NAME": "environment"}

    settings = read({"server": "http://argument"}, environ, monkeypatch, toml)

    assert (settings.server, settings.name, settings.slots) == ("http://argument", "environment", 3)


def test_the_server_must_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsProblem, match="server: Field required"):
        read({}, {}, monkeypatch)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"server": "box:8080"}, "server"),
        ({**SERVER, "slots": 0}, "slots"),
        ({**SERVER, "tags": ["no-colon"]}, "tags"),
        ({**SERVER, "name": "with space"}, "name"),
        ({**SERVER, "colour": "red"}, "colour"),
    ],
)
def test_a_wrong_setting_is_named(arguments: dict[str, object], word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsProblem, match=word):
        read(arguments, {}, monkeypatch)


def test_an_unknown_environment_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsProblem, match="REELYARD_ENGINE_SLOT;"):
        read(dict(SERVER), {"REELYARD_ENGINE_SLOT": "2"}, monkeypatch)


def test_tags_are_taken_as_a_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read({**SERVER, "tags": ["site:here", "site:here"]}, {}, monkeypatch).tags == frozenset({"site:here"})


def test_a_missing_settings_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(SettingsProblem, match=r"nowhere\.toml"):
        read(dict(SERVER), {}, monkeypatch, tmp_path / "nowhere.toml")


@pytest.mark.parametrize(
    ("given", "slots"),
    [
        ("3", 3),
        ("CPU:0-3 GPU:0", ("CPU:0-3", "GPU:0")),
        ('["CPU:0-3", "GPU:0"]', ("CPU:0-3", "GPU:0")),
        (["2"], 2),
        (["CPU:0", "CPU_Set:1,3"], ("CPU:0", "CPU_Set:1,3")),
    ],
)
def test_slots_are_a_number_or_named(given: object, slots: object, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {"REELYARD_ENGINE_SLOTS": given} if isinstance(given, str) else {}

    settings = read({**SERVER, **({} if environ else {"slots": given})}, environ, monkeypatch)

    assert settings.slots == slots


def test_no_slots_at_all_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsProblem, match="slots"):
        read({**SERVER, "slots": ["0"]}, {}, monkeypatch)


@pytest.mark.parametrize(
    ("arguments", "environ", "servers"),
    [
        (SERVER, {}, ("http://box:8080",)),
        ({"server": ["http://a", "https://b/x"]}, {}, ("http://a", "https://b/x")),
        ({"server": ["http://a"]}, {}, ("http://a",)),
        ({}, {"REELYARD_ENGINE_SERVER": "http://a http://b"}, ("http://a", "http://b")),
        ({}, {"REELYARD_ENGINE_SERVER": '["http://a", "http://b"]'}, ("http://a", "http://b")),
    ],
)
def test_servers_are_one_address_or_several(
    arguments: dict[str, object], environ: dict[str, str], servers: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read(arguments, environ, monkeypatch).servers == servers


def test_a_wrong_address_among_several_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsProblem, match="server"):
        read({"server": ["http://a", "b:8080"]}, {}, monkeypatch)
