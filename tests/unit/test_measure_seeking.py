"""Where a part of an input is sought: straight where its keyframes are listed, from earlier where they are not."""

from __future__ import annotations

import pytest

from plugins.ffmpeg import sources
from protocol.recipes import Cut, TranscodeRecipe
from tests.unit.dispatch_jobs import video


@pytest.mark.parametrize(
    ("container", "start", "words"),
    [
        ("mov", "100", ("-ss", "100.000000", "-t", "5.000000")),
        ("mpegts", "0", ("-t", "105.000000")),
        ("mpegts", "5", ("-itsoffset", "-5.000000", "-t", "105.000000")),
        ("mpegts", "100", ("-ss", "92.000000", "-itsoffset", "-8.000000", "-t", "13.000000")),
    ],
)
def test_a_cut_is_sought_as_the_container_allows(container: str, start: str, words: tuple[str, ...]) -> None:
    facts = video(1280, 720, duration="200").model_copy(update={"container": container})
    recipe = TranscodeRecipe(source=facts, cut=Cut(start=start, end="105"), renditions=())

    arguments = sources.arguments(recipe, 1)

    end = arguments.index("-fd")
    assert arguments[end - len(words) : end] == words
