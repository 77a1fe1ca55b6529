"""The profiles: those built in, and those an operator put into a directory. A bad one names its file, key and reason."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from protocol.profiles import Profile

BUILT_IN = Path(__file__).parent / "profiles"


class BadProfile(ValueError):
    """A profile file that cannot be used; the message tells where and why."""


def load_profiles(directories: Iterable[Path] = ()) -> list[Profile]:
    """All of them; a later directory replaces a profile of the same name. Raises BadProfile."""
    found: dict[str, Profile] = {}
    for directory in (BUILT_IN, *directories):
        for path in sorted(directory.glob("*.toml")):
            profile = load_profile(path)
            found[profile.name] = profile
    return list(found.values())


def load_profile(path: Path) -> Profile:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        return Profile.model_validate_json(json.dumps(table, default=str))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadProfile(f"{path}: not TOML: {error}") from None
    except ValidationError as invalid:
        problems = "; ".join(f"{'.'.join(map(str, row['loc']))}: {row['msg']}" for row in invalid.errors())
        raise BadProfile(f"{path}: {problems}") from None
