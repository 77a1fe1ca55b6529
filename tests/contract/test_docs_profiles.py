"""The recipe that docs/howto/profiles.md shows is one that the server takes."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

from dispatch.core.profile_rules import check
from protocol.extras import Transcription
from protocol.packaging import CmafPackaging
from protocol.profiles import Profile, Tool

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "profiles.md"


def test_the_recipe_of_the_how_to_can_be_put_in_as_it_stands() -> None:
    (shown,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    profile = Profile.model_validate_json(json.dumps(tomllib.loads(shown)))

    check("small", profile)

    assert (profile.tool, profile.packaging) == (Tool.HANDBRAKE, CmafPackaging(segment_seconds=6))
    assert profile.transcription == Transcription(language="en")
