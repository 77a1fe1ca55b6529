"""A clip of a transport stream, whose keyframes are listed nowhere: it begins with the picture of its own first moment."""

from __future__ import annotations

from pathlib import Path

import pytest

from dispatch.core.followers import plan_job
from dispatch.core.plans import Planned
from plugins.ffmpeg.plugin import FFmpegPlugin
from protocol.encoding import Preset
from protocol.pictures import Clip
from protocol.plugins import Work
from protocol.profiles import Profile, Rendition
from protocol.results import Failure
from protocol.states import TaskKind
from tests.integration.ffmpeg_attempts import analyze, brightness, success
from tests.integration.ffmpeg_runner import run_attempt
from tests.media import run_ffmpeg


def test_a_clip_from_between_keyframes_begins_with_its_own_picture(tmp_path: Path) -> None:
    """12 s at 10 frames a second that grow brighter, a keyframe every 5 s: the grey of a frame tells its number."""
    film, first = tmp_path / "film.ts", tmp_path / "first.png"
    grey = "nullsrc=size=160x90:rate=10,geq=lum='16+1.5*N':cb=128:cr=128,format=yuv420p"
    coded = ("-c:v", "libx264", "-qp", "0", "-g", "50", "-bf", "0", "-sc_threshold", "0", "-preset", "ultrafast")
    run_ffmpeg("-f", "lavfi", "-i", grey, "-t", "12", *coded, str(film))
    rendition = Rendition(name="90p", height=90, crf=1, preset=Preset.ULTRAFAST)
    profile = Profile(name="x", renditions=(rendition,), clip=Clip(start=9.2, end=10.4))

    plans = plan_job(profile, analyze(film, tmp_path), lambda _: True)
    assert not isinstance(plans, Failure)
    plan = plans[TaskKind.TRANSCODE]
    assert isinstance(plan, Planned)
    steps = tuple(step.name for step in plan.steps)
    success(run_attempt(FFmpegPlugin(), Work(plan.recipe, steps, str(tmp_path), 1, str(film), input_size=film.stat().st_size)))
    run_ffmpeg("-i", str(tmp_path / "90p/video_90p.mp4"), "-frames:v", "1", str(first))

    assert brightness(first) * 219 / 255 / 1.5 == pytest.approx(92, abs=1.5)
