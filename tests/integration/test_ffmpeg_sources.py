"""Odd sources give plain outputs."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from plugins.ffmpeg.plugin import FFmpegPlugin
from protocol.plugins import Work
from protocol.recipes import AnalyzeRecipe
from tests.integration.ffmpeg_attempts import (
    LIMITS,
    streams,
    success,
    transcode,
)
from tests.integration.ffmpeg_runner import run_attempt
from tests.media import make_clip, run_ffmpeg


def _upright(directory: Path) -> Path:
    return make_clip(directory / "c.mp4", seconds=2, size=(180, 320))


def _turned(directory: Path) -> Path:
    lying = make_clip(directory / "lying.mp4", seconds=2, size=(320, 180))
    run_ffmpeg("-display_rotation", "90", "-i", str(lying), "-c", "copy", str(directory / "c.mp4"))
    return directory / "c.mp4"


def _odd(directory: Path) -> Path:
    crop = ("-vf", "crop=321:181", "-pix_fmt", "yuv444p")
    return make_clip(directory / "c.mp4", seconds=2, size=(322, 182), options=crop)


def _ten_bit(directory: Path) -> Path:
    return make_clip(directory / "c.mkv", seconds=2, size=(320, 180), options=("-pix_fmt", "yuv420p10le"))


def _interlaced(directory: Path) -> Path:
    fields = ("-vf", "interlace", "-flags", "+ilme+ildct", "-x264-params", "tff=1")
    return make_clip(directory / "c.mp4", seconds=2, size=(320, 180), fps=50, options=fields)


def _variable(directory: Path) -> Path:
    """25 frames a second for 1 s, then one frame every 0.4 s, the last at 2.8 s."""
    kept = ("-vf", "select='lt(t,1)+not(mod(n,10))'", "-fps_mode", "vfr")
    return make_clip(directory / "c.mkv", seconds=3, size=(320, 180), options=kept)


def _fast(directory: Path) -> Path:
    return make_clip(directory / "c.mp4", seconds=2, size=(320, 180), fps=120)


def _stream(directory: Path) -> Path:
    return make_clip(directory / "c.ts", seconds=2, size=(320, 180))


def _surround(directory: Path) -> Path:
    six = ("-af", "pan=5.1|c0=c0|c1=c0|c2=c0|c3=c0|c4=c0|c5=c0", "-c:a", "ac3")
    return make_clip(directory / "c.mkv", seconds=2, size=(320, 180), options=six)


def _sound_outlasts(directory: Path) -> Path:
    picture = make_clip(directory / "p.mp4", seconds=2, size=(320, 180), audio=False)
    sound = ("-f", "lavfi", "-i", "sine=duration=4")
    run_ffmpeg("-i", str(picture), *sound, "-c:v", "copy", "-c:a", "aac", str(directory / "c.mp4"))
    return directory / "c.mp4"


def _recorded_live(directory: Path) -> Path:
    """As browsers record: no duration anywhere in the file."""
    live = ("-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus", "-live", "1")
    return make_clip(directory / "c.webm", seconds=2, size=(320, 180), options=live)


def _edited(directory: Path) -> Path:
    whole = make_clip(directory / "whole.mp4", seconds=4, size=(320, 180))
    run_ffmpeg("-ss", "1.3", "-i", str(whole), "-c", "copy", str(directory / "c.mp4"))
    return directory / "c.mp4"


@pytest.mark.parametrize(
    ("make", "size", "frames"),
    [
        (_upright, (102, 180), 50),
        (_turned, (102, 180), 50),
        (_odd, (320, 180), 50),
        (_ten_bit, (320, 180), 50),
        (_interlaced, (320, 180), 50),
        (_variable, (320, 180), 71),
        (_fast, (320, 180), 120),
        (_stream, (320, 180), 50),
        (_surround, (320, 180), 50),
        (_sound_outlasts, (320, 180), 50),
        (_edited, (320, 180), 68),
        (_recorded_live, (320, 180), 50),
    ],
)
def test_odd_sources_give_plain_outputs(tmp_path: Path, make: Callable[[Path], Path], size: tuple[int, int], frames: int) -> None:
    facts, attempt = transcode(make(tmp_path), tmp_path)
    success(attempt)
    made = streams(tmp_path / "180p/video_180p.mp4")
    video = made["video"]

    assert (video["width"], video["height"]) == size
    assert (video["pix_fmt"], video["sample_aspect_ratio"], video["field_order"]) == ("yuv420p", "1:1", "progressive")
    assert video["r_frame_rate"] == video["avg_frame_rate"]
    assert abs(int(video["nb_read_frames"]) - frames) <= 1
    assert made["audio"]["channels"] == min(2, facts.audio[0].channels)
    assert "side_data_list" not in video


def test_a_recording_without_a_duration_is_measured(tmp_path: Path) -> None:
    clip = _recorded_live(tmp_path)
    attempt = run_attempt(
        FFmpegPlugin(), Work(AnalyzeRecipe(limits=LIMITS), (), str(tmp_path), threads=1, input_path=str(clip), input_size=1)
    )
    analysis = success(attempt).result.analysis

    assert [outcome.invocation.name for outcome in attempt.outcomes] == ["probe", "first_frames", "measure"]
    assert analysis is not None
    assert float(Fraction(analysis.duration)) == pytest.approx(2, abs=0.05)


def test_a_deinterlaced_picture_has_no_combs(tmp_path: Path) -> None:
    facts, attempt = transcode(_interlaced(tmp_path), tmp_path)
    argv = attempt.outcomes[0].invocation.argv
    success(attempt)

    assert facts.video is not None
    assert (facts.video.is_interlaced, facts.video.frame_rate) == (True, "25")
    assert "bwdif" in argv[argv.index("-filter_complex") + 1]
