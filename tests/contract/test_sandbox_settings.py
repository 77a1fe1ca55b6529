"""`sandbox` in an engine's settings: how it is written, and what becomes of a tier that cannot be had."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from config.engine import EngineSettings
from config.sources import SettingsProblem, read_settings
from engine.shell.doctor import Finding, sandbox
from engine.shell.sandbox_check import Trial

SERVER = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("line", "tier"), [("", "auto"), ("sandbox = 2", "2"), ('sandbox = "3"', "3"), ('sandbox = "auto"', "auto")]
)
def test_a_tier_is_a_number_or_auto(line: str, tier: str, tmp_path: Path) -> None:
    toml = tmp_path / "engine.toml"
    toml.write_text(f'server = "{SERVER}"\n{line}\n')

    assert read_settings(EngineSettings, {}, toml=toml, environ={}).sandbox == tier


@pytest.mark.parametrize("told", ["4", -1, "best", True, 2.0])
def test_there_are_four_tiers(told: object) -> None:
    with pytest.raises(SettingsProblem, match="sandbox"):
        read_settings(EngineSettings, {"server": SERVER, "sandbox": told}, toml=None, environ={})


def test_an_engine_refuses_to_start_at_a_tier_it_cannot_have(tmp_path: Path) -> None:
    environ = {"PATH": str(tmp_path), "HOME": str(tmp_path), "REELYARD_ENGINE_SANDBOX": "3"}
    argv = [sys.executable, "-m", "engine", "--server", SERVER, "--data", str(tmp_path / "data")]

    ended = subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=60, check=False)

    said = ended.stderr.splitlines()[-1]
    assert (ended.returncode, said.startswith("reelyard engine: sandbox tier 3 ")) == (2, True)
    assert "install the package bubblewrap" in said


def test_the_doctor_tells_the_best_tier_and_what_the_better_ones_lack() -> None:
    trials = [Trial(3, "bwrap is not on the PATH"), Trial(2, None), Trial(1, None)]

    assert [sandbox(trials), sandbox([Trial(2, "no Landlock"), Trial(1, None)]), sandbox([Trial(1, "broken")])] == [
        Finding("sandbox", True, "tier 2 (Landlock and seccomp); tier 3: bwrap is not on the PATH"),
        Finding("sandbox", True, "tier 1 (resource limits); takes no jobs of untrusted tenants; tier 2: no Landlock"),
        Finding("sandbox", False, "tier 0 (none); takes no jobs of untrusted tenants; tier 1: broken"),
    ]
