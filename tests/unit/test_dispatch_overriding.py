"""A profile with the parts a submission wants otherwise."""

from __future__ import annotations

import pytest

from dispatch.core.overriding import overridden
from protocol.errors import ErrorCode, ReelyardError
from protocol.extras import Thumbnails
from protocol.profiles import OutputOverrides
from tests.unit.dispatch_jobs import PROFILES

WEB = PROFILES["web"]


def wanted(text: str) -> OutputOverrides:
    return OutputOverrides.model_validate_json(text)


def test_parts_left_out_stay_and_null_takes_away() -> None:
    made = overridden(WEB, wanted('{"audio": null, "thumbnails": {"percents": [10], "primary_percent": 10}}'))

    assert made == WEB.model_copy(update={"audio": None, "thumbnails": Thumbnails(percents=(10,), primary_percent=10)})


def test_renditions_are_chosen_by_name_or_brought_along_and_stand_by_height() -> None:
    own = WEB.renditions[0].model_copy(update={"name": "240p", "height": 240})
    text = f'{{"renditions": ["720p", {own.model_dump_json()}]}}'

    made = overridden(WEB, wanted(text))

    assert made.renditions == (own, WEB.renditions[1])


@pytest.mark.parametrize(
    ("profile", "text", "field"),
    [
        ("web", '{"renditions": ["1080p"]}', "outputs.renditions"),
        ("web", '{"renditions": ["360p", "360p"]}', "outputs.renditions"),
        ("web", '{"renditions": []}', "outputs.hls"),
        (
            "web",
            '{"renditions": [], "hls": null, "audio": null, "thumbnails": null, "transcription": null}',
            "outputs.renditions",
        ),
        ("web", '{"thumbnails": {"percents": [10], "primary_percent": 25}}', "outputs.thumbnails"),
        ("noop", '{"audio": null}', "outputs"),
    ],
)
def test_what_cannot_be_made_is_refused(profile: str, text: str, field: str) -> None:
    with pytest.raises(ReelyardError) as refused:
        overridden(PROFILES[profile], wanted(text))

    assert refused.value.code is ErrorCode.VALIDATION_FAILED
    assert refused.value.details["problems"] == [{"field": field, "problem": refused.value.message.partition(": ")[2]}]
