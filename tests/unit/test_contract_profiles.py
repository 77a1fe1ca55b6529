"""What the document says of the parts of a profile is what the server takes of them: no more, and no less."""

from __future__ import annotations

import json
from itertools import product

import pytest

from dispatch.api.openapi import document
from dispatch.core import profile_rules
from protocol.errors import ReelyardError
from protocol.profiles import Profile
from tests.contract.contract_conformance import Contract, Json

CONTRACT = Contract(document("1.2.3"))
RENDITION = {
    "name": "360p",
    "height": 360,
    "crf": 23,
    "profile": "main",
    "level": "3.1",
    "audio": {"bitrate": 128_000, "sample_rate": 48_000},
    "min_source_width": 16,
    "min_source_height": 16,
}
FPS: list[Json] = [{}, {"fps": None}, {"fps": 0.5}, {"fps": 0.0}]
EVERY_NTH: list[Json] = [{}, {"every_nth": None}, {"every_nth": 10}]
HLS: list[Json] = [{}, {"hls": True}, {"hls": False}]
DASH: list[Json] = [{}, {"dash": True}, {"dash": False}]


def is_told(body: Json) -> bool:
    return not list(CONTRACT.problems({"$ref": "#/components/schemas/Profile"}, body))


def is_taken(body: Json) -> bool:
    try:
        profile_rules.check(body["name"], Profile.model_validate_json(json.dumps(body)))
    except (ReelyardError, ValueError):
        return False
    return True


@pytest.mark.parametrize(
    ("part", "first", "second", "good"),
    [("frames", FPS, EVERY_NTH, 4), ("packaging", HLS, DASH, 8)],
)
def test_part_of_a_profile_is_taken_just_where_the_document_fits(
    part: str, first: list[Json], second: list[Json], good: int
) -> None:
    values = [one | other for one, other in product(first, second)]
    bodies = [{"name": "own", "renditions": [RENDITION], part: value} for value in values]

    told = [is_told(body) for body in bodies]

    assert told == [is_taken(body) for body in bodies]
    assert (told.count(True), told.count(False) > 0) == (good, True)
