"""`reelyard config check`: the settings as a start would read them, without a start."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import JsonValue

from config.dispatch import DispatchSettings
from config.profiles import BadProfile, load_profiles
from config.sources import SettingsProblem, read_settings
from dispatch.core.masking import masked

CODE, EXIT_UNUSABLE = "SETTINGS_INVALID", 2


def main(words: Sequence[str]) -> int:
    """0 and what would be in force, secrets masked; 2 and one line that names what is wrong."""
    parser = argparse.ArgumentParser(prog="reelyard config check", description="Check the settings of the server.")
    parser.add_argument("--config", type=Path, help="a TOML file of settings")
    parser.add_argument("--data", type=Path, help="where the server would keep its data")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument("--engine", action="store_true", help="the settings of an engine instead")
    told = parser.parse_args(words)
    given = {} if told.data is None else {"data": told.data}
    try:
        settings = read_settings(DispatchSettings, given, toml=told.config, environ=os.environ)
        _check_profiles(settings)
    except (SettingsProblem, BadProfile) as problem:
        sys.stderr.write(f"error: {CODE}: {problem}\n")
        if told.json:
            sys.stdout.write(json.dumps({"error": {"code": CODE, "message": str(problem), "details": {}}}) + "\n")
        return EXIT_UNUSABLE
    known = masked(settings.model_dump(mode="json"))
    sys.stdout.write(json.dumps({"settings": known}) + "\n" if told.json else "".join(f"{line}\n" for line in lines(known)))
    return 0


def _check_profiles(settings: DispatchSettings) -> None:
    own = settings.data / "profiles"
    known = sorted(profile.name for profile in load_profiles([own] if own.is_dir() else []))
    wanted = settings.jobs.default_profile
    if wanted not in known:
        raise SettingsProblem(f"jobs.default_profile: there is no profile {wanted!r}; known are {', '.join(known)}")


def lines(settings: Mapping[str, JsonValue], before: str = "") -> Iterator[str]:
    """As a settings file takes them; what is not set is a comment, for TOML knows no null."""
    for name, value in settings.items():
        match value:
            case dict():
                yield from lines(value, f"{before}{name}.")
            case None:
                yield f"# {before}{name} is not set"
            case _:
                yield f"{before}{name} = {json.dumps(value)}"
