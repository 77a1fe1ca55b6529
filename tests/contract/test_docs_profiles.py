"""The recipe that docs/howto/profiles.md shows is one that the server takes."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from config.profiles import load_profiles
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


KEYS = Path(__file__).parents[2] / "docs" / "profiles.md"


def _keys(model: type[BaseModel], seen: set[type[BaseModel]]) -> Iterator[str]:
    """Every key a profile may have, at any depth."""
    seen.add(model)
    for name, field in model.model_fields.items():
        yield name
        for inner in _models(field.annotation):
            if inner not in seen:
                yield from _keys(inner, seen)


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def test_every_key_of_a_profile_stands_on_its_page() -> None:
    told = set(re.findall(r"[a-z0-9_]+", " ".join(re.findall(r"`([^`]+)`", KEYS.read_text()))))

    assert sorted(set(_keys(Profile, set())) - told) == []


def test_every_built_in_profile_stands_on_the_page() -> None:
    page = KEYS.read_text()

    assert [profile.name for profile in load_profiles() if f"`{profile.name}`" not in page] == []


@pytest.mark.parametrize("shown", re.findall(r"```toml\n(.*?)```", KEYS.read_text(), re.DOTALL))
def test_every_example_on_the_page_is_a_profile_the_server_takes(shown: str) -> None:
    profile = Profile.model_validate_json(json.dumps(tomllib.loads(shown)))

    check(profile.name, profile)
