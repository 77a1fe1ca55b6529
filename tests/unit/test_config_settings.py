"""The settings of dispatch: file < environment < arguments, every mistake named, none ignored."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from config.dispatch import DispatchSettings
from config.sources import SettingsProblem, read_settings
from protocol.recipes import InputLimits

PREFIX = "REELYARD_DISPATCH_"


def settings(
    monkeypatch: pytest.MonkeyPatch,
    arguments: dict[str, object] | None = None,
    toml: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> DispatchSettings:
    environ = {PREFIX + name: value for name, value in (variables or {}).items()}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return read_settings(DispatchSettings, arguments or {}, toml=toml, environ=environ)


def test_nothing_needs_to_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    made = settings(monkeypatch)

    assert (made.data, made.listen, made.jobs.default_profile) == (Path("reelyard-data"), "127.0.0.1:8080", "web")
    assert (made.leases.lease_s, made.leases.heartbeat_s, made.leases.ack_s, made.leases.sweep_s) == (60.0, 15.0, 10.0, 5.0)
    assert made.inputs.limits == InputLimits()


def test_arguments_go_before_the_environment_before_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    toml = tmp_path / "dispatch.toml"
    toml.write_text('listen = "a:1"\nlog_level = "error"\n[leases]\nlease_s = 10\nack_s = 3\n[jobs]\nttl_s = 5\n')

    variables = {"LISTEN": "b:2", "LOG_LEVEL": "debug", "LEASES__LEASE_S": "30"}

    made = settings(monkeypatch, {"listen": "c:3"}, toml, variables)

    assert (made.listen, made.log_level) == ("c:3", "debug")
    assert (made.leases.lease_s, made.leases.ack_s, made.jobs.ttl_s) == (30.0, 3.0, 5.0)


def test_the_limits_of_inputs_can_be_told_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {"INPUTS__LIMITS__MAX_BYTES": "1000", "INPUTS__LIMITS__MIN_DURATION_S": "0.5"}

    made = settings(monkeypatch, variables=variables)

    assert made.inputs.limits == InputLimits(max_bytes=1000, min_duration_s=0.5)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("LISTEN", "8080", "listen"),
        ("LISTEN", "host:port", "listen"),
        ("LISTEN", "host:65536", "listen"),
        ("LOG_LEVEL", "loud", "log_level"),
        ("LEASES__LEASE_S", "0", "leases.lease_s"),
        ("LEASES__LEASE_S", "soon", "leases.lease_s"),
        ("LEASES__LEASE_S", "nan", "leases.lease_s"),
        ("LEASES__HEARTBEAT_S", "inf", "leases.heartbeat_s"),
        ("LEASES__HEARTBEAT_S", "60", "heartbeat_s"),
        ("STORAGE__GRANTS_FREE", "1.5", "storage.grants_free"),
        ("STORAGE__GRANTS_FREE", "0.01", "uploads_free"),
        ("INPUTS__LIMITS__MAX_BYTES", "-1", "inputs.limits.max_bytes"),
        ("LEESES__LEASE_S", "3", "unknown environment variable"),
        ("LEASES__LEASE", "3", "unknown environment variable"),
        ("LISTENS", "a:1", "unknown environment variable"),
        ("INPUTS__ALLOWED_ROOTS", "/films", "REELYARD_DISPATCH_INPUTS__ALLOWED_ROOTS: a list is told as JSON"),
        ("INPUTS", "/films", "REELYARD_DISPATCH_INPUTS: a list is told as JSON"),
    ],
)
def test_a_mistake_is_named_in_one_line(monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str) -> None:
    with pytest.raises(SettingsProblem) as problem:
        settings(monkeypatch, variables={name: value})

    assert told in str(problem.value)
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("lissten = 'a:1'\n", "lissten"),
        ("[leases]\nlease = 3\n", "leases.lease"),
        ("[leases]\nlease_s = 'x'\n", "leases.lease_s"),
    ],
)
def test_a_mistake_in_the_file_is_named_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, told: str) -> None:
    toml = tmp_path / "dispatch.toml"
    toml.write_text(text)

    with pytest.raises(SettingsProblem, match=told):
        settings(monkeypatch, toml=toml)


def test_a_file_that_is_not_there_or_no_toml_is_said_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("listen = ")

    with pytest.raises(SettingsProblem, match="there is no settings file"):
        settings(monkeypatch, toml=tmp_path / "none.toml")
    with pytest.raises(SettingsProblem, match=r"broken\.toml"):
        settings(monkeypatch, toml=broken)
