"""Who is to blame where files that were asked for are missing."""

from __future__ import annotations

import pytest

from plugins.media.rejected import Rejected
from plugins.media.verify import presence
from protocol.errors import ErrorCode, FailureClass
from protocol.plugins import MadeFile
from protocol.steps import GENERATE_THUMBNAILS, transcode_step
from tests.ffmpeg_recipes import web
from tests.unit.dispatch_jobs import video

RECIPE = web(video(1280, 720), hls=None)
FILMS = tuple(planned.path for planned in RECIPE.renditions)
SHOTS = tuple(shot.path for shot in RECIPE.thumbnails)
SOUND = "audio/audio.mp3"
EVERYTHING = (*FILMS, *SHOTS, SOUND)


def refused(missing: tuple[str, ...]) -> Rejected:
    """What is said of all outputs but these; an empty file is as good as none."""
    files = [MadeFile(path, 0 if path in missing else 1) for path in EVERYTHING]
    with pytest.raises(Rejected) as caught:
        presence(RECIPE, files)
    return caught.value


@pytest.mark.parametrize(
    ("missing", "blamed", "code", "step"),
    [
        (EVERYTHING, FailureClass.INPUT, ErrorCode.INPUT_CORRUPT, None),
        (SHOTS, FailureClass.INPUT, ErrorCode.INPUT_CORRUPT, GENERATE_THUMBNAILS),
        (SHOTS[:1], FailureClass.ENGINE, ErrorCode.OUTPUT_INVALID, GENERATE_THUMBNAILS),
        (SHOTS[1:], FailureClass.ENGINE, ErrorCode.OUTPUT_INVALID, GENERATE_THUMBNAILS),
        ((FILMS[0], *SHOTS), FailureClass.ENGINE, ErrorCode.OUTPUT_INVALID, transcode_step("360p")),
    ],
)
def test_a_file_is_blamed_only_where_no_picture_of_it_came(
    missing: tuple[str, ...], blamed: FailureClass, code: ErrorCode, step: str | None
) -> None:
    found = refused(missing)

    assert (found.failure_class, found.code, found.step) == (blamed, code, step)


def test_outputs_that_are_all_there_are_refused_by_nobody() -> None:
    presence(RECIPE, [MadeFile(path, 1) for path in EVERYTHING])
