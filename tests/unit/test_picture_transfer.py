"""An input that is cut is never streamed: a stream must be read to its end."""

from __future__ import annotations

import pytest

from engine.core.transfer_choice import Need, need_of
from protocol.extras import Frames
from protocol.recipes import Cut, FramesRecipe, Recipe, SourcePart, TranscodeRecipe
from protocol.states import TaskKind
from tests.unit.dispatch_jobs import video

FILM, CUT = video(640, 360), Cut(start="1", end="2")
PLAIN = TranscodeRecipe(source=FILM, renditions=())
STILLS = FramesRecipe(source=FILM, frames=Frames(fps=1.0), path="frames/frames.zip")


@pytest.mark.parametrize(
    ("kind", "recipe", "need"),
    [
        (TaskKind.TRANSCODE, PLAIN, Need.PASS),
        (TaskKind.TRANSCODE, PLAIN.model_copy(update={"cut": CUT}), Need.SEEK),
        (TaskKind.TRANSCODE, PLAIN.model_copy(update={"parts": (SourcePart(facts=FILM), SourcePart(facts=FILM))}), Need.SEEK),
        (TaskKind.FRAMES, STILLS.model_copy(update={"cut": CUT}), Need.SEEK),
    ],
)
def test_what_is_cut_is_sought(kind: TaskKind, recipe: Recipe, need: Need) -> None:
    assert need_of(kind, recipe) is need
