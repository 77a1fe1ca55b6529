"""Answers for people: what settings would be in force, and what the doctor finds on this machine."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import entry_points, version
from pathlib import Path

from config.engine import EngineSettings
from config.sources import SettingsProblem, read_settings
from engine.app.parts import Unusable, slots_of
from engine.clock import SystemClock
from engine.shell.doctor import as_json, as_text, examine, sandbox
from engine.shell.loader import TRANSCODERS, load_transcoders
from engine.shell.monitors import MONITORS, load_monitors
from engine.shell.process import Tools
from engine.shell.sandbox import at_tier
from engine.shell.sandbox_check import BEST_FIRST, SandboxCheck
from engine.shell.survey import ToolSurvey
from protocol.plugins import Surroundings

EXIT_USAGE, SETTINGS_INVALID = 2, "SETTINGS_INVALID"
NOWHERE = "http://localhost"
"""The doctor asks no server; settings have to name one."""


def check_settings(argv: Sequence[str]) -> int:
    """Print what would be in force, as a settings file takes it; 2 and one line that names what is wrong."""
    parser = argparse.ArgumentParser(prog="reelyard config check --engine", description="Check the settings of an engine.")
    parser.add_argument("--config", type=Path, help="TOML file with settings")
    parser.add_argument("--server", help="URL of dispatch, where the file has none")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    told = parser.parse_args(argv)
    try:
        settings = read_settings(
            EngineSettings, {"server": told.server} if told.server else {}, toml=told.config, environ=os.environ
        )
        slots_of(settings)
    except (SettingsProblem, Unusable) as problem:
        print(f"error: {SETTINGS_INVALID}: {problem}", file=sys.stderr)  # noqa: T201 - for the person at the terminal
        document: dict[str, object] = {"error": {"code": SETTINGS_INVALID, "message": str(problem), "details": {}}}
        lines: list[str] = []
    else:
        known = settings.model_dump(mode="json")
        document, lines = {"settings": known}, [line for name, value in known.items() for line in _setting(name, value)]
    print(*([json.dumps(document)] if told.json else lines), sep="\n", end="\n" if told.json or lines else "")  # noqa: T201 - the answer
    return 0 if "settings" in document else EXIT_USAGE


def _setting(name: str, value: object) -> list[str]:
    """TOML knows no null: what is not set is a comment. The keys of a section are told with its name before them."""
    if isinstance(value, dict):
        return [line for key, inner in value.items() for line in _setting(f"{name}.{key}", inner)]
    return [f"# {name} is not set" if value is None else f"{name} = {json.dumps(value)}"]


async def doctor(arguments: argparse.Namespace) -> int:
    """Print the findings; 1 if any is bad."""
    with tempfile.TemporaryDirectory() as scratch:
        directory = arguments.data or Path(scratch)
        told = read_settings(EngineSettings, {"server": NOWHERE}, toml=arguments.config, environ=os.environ)
        loaded = load_transcoders(entry_points(group=TRANSCODERS), told.plugins)
        clock = SystemClock()
        check = SandboxCheck(lambda tried: Tools(clock, confinement=tried.of), Path(scratch))
        trials = [await check.run_once(tier) for tier in BEST_FIRST]
        tier = max((trial.tier for trial in trials if trial.problem is None), default=0)
        tools, cache = Tools(clock, confinement=at_tier(tier).of), Path(scratch) / "capabilities.json"
        survey = ToolSurvey(loaded, tools, Path(scratch), cache, version("reelyard"), tier)
        monitor = load_monitors(entry_points(group=MONITORS), Surroundings(str(directory), tuple))
        findings = await examine(survey, monitor, directory)
        findings.append(sandbox(trials))
    print(as_json(findings) if arguments.json else as_text(findings))  # noqa: T201 - the answer of a command
    return 0 if all(finding.is_ok for finding in findings) else 1


def doctor_arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="reelyard doctor", description="Look at this machine as an engine would.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--data", type=Path, help="the engine's data directory")
    parser.add_argument("--config", type=Path, help="the engine's TOML file, for the plugins it prefers")
    return parser.parse_args(argv)
