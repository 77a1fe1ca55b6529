"""The FFmpeg plugin with the real tools: what it makes, what it refuses, what it never lets pass."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from plugins.ffmpeg.plugin import FFmpegPlugin
from protocol.encoding import Preset
from protocol.errors import ErrorCode, FailureClass
from protocol.packaging import HlsPackaging, SegmentFormat
from protocol.plugins import Conclusion
from protocol.recipes import InputLimits
from protocol.results import Failure, FileRole
from protocol.states import StepState
from protocol.steps import EXTRACT_AUDIO_MP3, TRANSCRIBE_VIDEO
from tests.ffmpeg_recipes import web
from tests.integration.ffmpeg_attempts import (
    analyze,
    brightness,
    keyframe_moments,
    refusal,
    run_analysis,
    streams,
    success,
    transcode,
    transcode_work,
)
from tests.integration.ffmpeg_runner import Attempt, made_files, prove_again, run_attempt, run_process
from tests.media import make_clip, run_ffmpeg

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """5 s of 320x180 with sound."""
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", seconds=5, size=(320, 180))


@pytest.fixture(scope="module")
def full_hd(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Attempt]:
    """The ladder of `web` made of 20 s of 1920x1080 with sound, encoded once for several tests."""
    directory = tmp_path_factory.mktemp("full_hd")
    source = make_clip(directory / "source.mp4", seconds=20, size=(1920, 1080), fps=5)
    work = directory / "work"
    work.mkdir()
    _, attempt = transcode(source, work, heights=(360, 720), hls=HlsPackaging(segment_seconds=10), preset=Preset.VERYFAST)
    return work, attempt


def test_full_hd_becomes_the_ladder_of_web(full_hd: tuple[Path, Attempt]) -> None:
    directory, attempt = full_hd
    facts = success(attempt).facts
    roles = [fact.role for fact in facts.values()]

    assert {name for name, size in ((file.path, file.size) for file in made_files(directory)) if size} == set(facts)
    assert {role: roles.count(role) for role in set(roles)} == {
        FileRole.RENDITION: 2,
        FileRole.PLAYLIST: 2,
        FileRole.SEGMENT: 4,
        FileRole.MASTER_PLAYLIST: 1,
        FileRole.AUDIO: 1,
        FileRole.THUMBNAIL: 5,
    }
    for name, size, profile, level, rate in (
        ("360p", (640, 360), "Main", 31, "44100"),
        ("720p", (1280, 720), "High", 40, "48000"),
    ):
        made = streams(directory / f"{name}/video_{name}.mp4")
        video, audio = made["video"], made["audio"]
        assert (video["codec_name"], video["profile"], video["level"], video["pix_fmt"]) == ("h264", profile, level, "yuv420p")
        assert (video["width"], video["height"], video["nb_read_frames"]) == (*size, "100")
        assert (audio["codec_name"], audio["sample_rate"]) == ("aac", rate)
        assert float(audio["duration"]) == pytest.approx(20, abs=0.05)
        assert streams(directory / f"{name}/segments/playlist.m3u8")["video"]["nb_read_frames"] == "100"
    assert streams(directory / "audio/audio.mp3")["audio"]["codec_name"] == "mp3"


def test_the_index_of_a_progressive_file_comes_first(full_hd: tuple[Path, Attempt]) -> None:
    content = (full_hd[0] / "360p/video_360p.mp4").read_bytes()

    assert 0 < content.index(b"moov") < content.index(b"mdat")


def test_the_master_playlist_plays_and_tells_the_measured_bandwidth(full_hd: tuple[Path, Attempt]) -> None:
    directory, _ = full_hd
    master = (directory / "hls/master.m3u8").read_text()
    segments = sorted((directory / "720p/segments").glob("*.ts"))

    assert f"BANDWIDTH={-(-max(one.stat().st_size for one in segments) * 8 // 10)}," in master
    assert 'RESOLUTION=1280x720,FRAME-RATE=5.000,CODECS="avc1.640028,mp4a.40.2"\n../720p/segments/playlist.m3u8' in master
    assert streams(directory / "hls/master.m3u8")["video"]["codec_name"] == "h264"


def test_every_step_is_reported_and_progress_never_falls(full_hd: tuple[Path, Attempt]) -> None:
    attempt = full_hd[1]
    by_step: dict[str, list[float]] = {}
    for report in attempt.reports:
        by_step.setdefault(report.name, []).append(report.progress)
    final = {step.name: step.state for step in success(attempt).result.steps}

    assert {name for name, state in final.items() if state is StepState.SKIPPED} == {TRANSCRIBE_VIDEO}
    assert set(by_step) == set(final) - {TRANSCRIBE_VIDEO}
    assert all(values == sorted(values) and values[-1] == 0.99 for values in by_step.values())


def test_the_record_of_tools_holds_no_absolute_path(full_hd: tuple[Path, Attempt]) -> None:
    directory, attempt = full_hd
    tools = success(attempt).result.tools

    assert {tool.tool for tool in tools} == {"ffmpeg", "ffprobe"}
    assert not [argument for tool in tools for argument in tool.argv if str(directory.parent) in argument or "file:/" in argument]
    assert all(tool.version != "unknown" for tool in tools)


Tamper = Callable[[Path], None]


def _cut(name: str, share: float) -> Tamper:
    def tamper(directory: Path) -> None:
        content = (directory / name).read_bytes()
        (directory / name).write_bytes(content[: int(len(content) * share)])

    return tamper


def _remove(name: str) -> Tamper:
    return lambda directory: (directory / name).unlink()


def _swap_segments(directory: Path) -> None:
    shutil.copy(directory / "360p/segments/segment_000.ts", directory / "720p/segments/segment_000.ts")


def _stray_segment(directory: Path) -> None:
    (directory / "360p/segments/segment_777.ts").write_bytes(b"stray")


def _shorter_playlist(directory: Path) -> None:
    playlist = directory / "360p/segments/playlist.m3u8"
    lines = playlist.read_text().splitlines()
    playlist.write_text("\n".join([*lines[:-3], lines[-1]]) + "\n")
    (directory / "360p/segments" / lines[-2]).unlink()


def _other_size(directory: Path) -> None:
    thumb = directory / "thumbnails/thumb_25.jpg"
    run_ffmpeg("-f", "lavfi", "-i", "color=size=64x64", "-frames:v", "1", "-update", "1", str(thumb))


def _reencoded_without_keyframes(directory: Path) -> None:
    playlist = directory / "720p/segments/playlist.m3u8"
    copied = directory / "copied"
    copied.mkdir()
    cut = ("-c", "copy", "-f", "hls", "-hls_time", "5", "-hls_flags", "split_by_time", "-hls_playlist_type", "vod")
    names = ("-hls_segment_filename", str(copied / "segment_%03d.ts"))
    run_ffmpeg("-i", str(directory / "720p/video_720p.mp4"), *cut, *names, str(copied / "playlist.m3u8"))
    shutil.rmtree(playlist.parent)
    copied.rename(playlist.parent)


@pytest.mark.parametrize(
    ("tamper", "code"),
    [
        (_cut("720p/video_720p.mp4", 0.6), ErrorCode.OUTPUT_INVALID),
        (_cut("360p/video_360p.mp4", 0.999), ErrorCode.OUTPUT_INVALID),
        (_cut("audio/audio.mp3", 0.5), ErrorCode.OUTPUT_INVALID),
        (_cut("thumbnails/thumb_50.jpg", 0.3), ErrorCode.OUTPUT_INVALID),
        (_cut("360p/video_360p.mp4", 0), ErrorCode.OUTPUT_INVALID),
        (_cut("720p/segments/segment_001.ts", 0), ErrorCode.OUTPUT_INVALID),
        (_remove("720p/segments/segment_001.ts"), ErrorCode.OUTPUT_INVALID),
        (_remove("thumbnails/thumb_100.jpg"), ErrorCode.OUTPUT_INVALID),
        (_stray_segment, ErrorCode.OUTPUT_INVALID),
        (_shorter_playlist, ErrorCode.OUTPUT_INVALID),
        (_other_size, ErrorCode.OUTPUT_INVALID),
        (_reencoded_without_keyframes, ErrorCode.OUTPUT_INVALID),
    ],
)
def test_damaged_outputs_are_never_accepted(
    full_hd: tuple[Path, Attempt], tmp_path: Path, tamper: Tamper, code: ErrorCode
) -> None:
    original, attempt = full_hd
    directory = tmp_path / "work"
    shutil.copytree(original, directory, copy_function=shutil.copyfile)
    (directory / "hls/master.m3u8").unlink()
    facts = analyze(original.parent / "source.mp4", tmp_path)
    recipe = web(facts, heights=(360, 720), hls=HlsPackaging(segment_seconds=10), preset=Preset.VERYFAST)
    work = transcode_work(recipe, original.parent / "source.mp4", directory, (360, 720))
    assert isinstance(prove_again(FFmpegPlugin(), work, attempt), Conclusion)
    tamper(directory)

    result = prove_again(FFmpegPlugin(), work, attempt)

    assert isinstance(result, Failure)
    assert (result.failure_class, result.code) == (FailureClass.ENGINE, code)


def test_fragmented_segments_are_aligned_to_keyframes(clip: Path, tmp_path: Path) -> None:
    _, attempt = transcode(clip, tmp_path, hls=HlsPackaging(segment_seconds=2, format=SegmentFormat.FMP4))
    facts = success(attempt).facts

    assert facts["180p/segments/init.mp4"].role is FileRole.INIT_SEGMENT
    assert facts["180p/segments/playlist.m3u8"].segment_count == 3
    moments = keyframe_moments(tmp_path / "180p/segments/playlist.m3u8")
    assert {0.0, 2.0, 4.0} <= {round(moment - moments[0], 6) for moment in moments}
    assert streams(tmp_path / "180p/segments/playlist.m3u8")["video"]["nb_read_frames"] == "125"


def test_thumbnails_are_the_frames_shown_at_their_moment(tmp_path: Path) -> None:
    """Frame n of the source is a flat picture of luma 20 + 2n, so a thumbnail tells which frame it is."""
    picture = "color=size=320x180:rate=25:duration=4,format=yuv420p,geq=lum='20+2*N':cb=128:cr=128"
    clip = tmp_path / "counted.mp4"
    run_ffmpeg("-f", "lavfi", "-i", picture, "-c:v", "libx264", "-preset", "ultrafast", "-crf", "1", str(clip))
    _, attempt = transcode(clip, tmp_path)
    success(attempt)

    found = {percent: (brightness(tmp_path / f"thumbnails/thumb_{percent:02d}.jpg")) for percent in (0, 25, 50, 75, 100)}
    full_range = {percent: (20 + 2 * frame - 16) * 255 / 219 for percent, frame in zip(found, (0, 25, 50, 75, 99), strict=True)}
    assert found == pytest.approx(full_range, abs=3)


def test_a_silent_clip_has_no_sound_and_its_step_is_skipped(tmp_path: Path) -> None:
    silent = make_clip(tmp_path / "silent.mp4", seconds=2, size=(320, 180), audio=False)
    _, attempt = transcode(silent, tmp_path)
    reasons = {step.name: step.reason for step in success(attempt).result.steps if step.state is StepState.SKIPPED}

    assert set(streams(tmp_path / "180p/video_180p.mp4")) == {"video"}
    assert reasons[EXTRACT_AUDIO_MP3] == "The input has no sound."
    assert not (tmp_path / "audio/audio.mp3").exists()
    assert b"mp4a" not in success(attempt).extra["hls/master.m3u8"]


def test_a_source_cut_short_is_the_inputs_fault_and_never_a_success(clip: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole.mp4"
    run_ffmpeg("-i", str(clip), "-c", "copy", "-movflags", "+faststart", str(whole))
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    facts, attempt = transcode(cut, tmp_path)

    assert facts.duration == "5"
    assert [outcome.exit_code for outcome in attempt.outcomes] == [0] * len(attempt.outcomes)
    assert isinstance(attempt.result, Failure)
    assert (attempt.result.failure_class, attempt.result.code) == (FailureClass.INPUT, ErrorCode.INPUT_CORRUPT)
    assert attempt.result.message.startswith("The picture should end at 5.00 s, but decodes to ")


def test_bad_files_are_refused_before_any_encode(clip: Path, tmp_path: Path) -> None:
    text, empty, lost = tmp_path / "text.mp4", tmp_path / "empty.mp4", tmp_path / "lost.mp4"
    text.write_text("This is no film.\n" * 1000)
    empty.touch()
    lost.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    sound = tmp_path / "sound.mp3"
    run_ffmpeg("-f", "lavfi", "-i", "sine=duration=3", str(sound))
    list_of_files = tmp_path / "list.mp4"
    list_of_files.write_text(f"#EXTM3U\n#EXTINF:5,\n{clip}\n#EXT-X-ENDLIST\n")

    found = {path.name: refusal(path, tmp_path).code for path in (text, empty, lost, sound, list_of_files)}
    assert found == {
        "text.mp4": ErrorCode.INPUT_FORMAT,
        "empty.mp4": ErrorCode.INPUT_FORMAT,
        "lost.mp4": ErrorCode.INPUT_CORRUPT,
        "sound.mp3": ErrorCode.INPUT_NO_VIDEO,
        "list.mp4": ErrorCode.INPUT_FORMAT,
    }
    assert refusal(clip, tmp_path, InputLimits()).message == "The picture is 320x180; this profile needs at least 640x360."


def test_sound_alone_passes_where_no_picture_is_needed(tmp_path: Path) -> None:
    sound = tmp_path / "sound.mp3"
    run_ffmpeg("-f", "lavfi", "-i", "sine=duration=3", str(sound))
    facts = run_analysis(sound, tmp_path, InputLimits(needs_video=False, needs_audio=True))
    assert isinstance(facts, Conclusion)
    assert facts.result.analysis is not None
    recipe = web(facts.result.analysis, heights=(), hls=None).model_copy(update={"thumbnails": ()})
    attempt = run_attempt(FFmpegPlugin(), transcode_work(recipe, sound, tmp_path, ()))

    assert set(success(attempt).facts) == {"audio/audio.mp3"}


def test_the_inventory_lists_what_encoded_here(tmp_path: Path) -> None:
    plugin = FFmpegPlugin()
    outcomes = [run_process(probe, tmp_path) for probe in plugin.probes(str(tmp_path))]
    description = plugin.describe(outcomes)

    assert set(description.capabilities) >= {
        "encoder:libx264",
        "encoder:aac",
        "encoder:ac3",
        "encoder:libmp3lame",
        "encoder:libopus",
        "encoder:libsvtav1",
        "encoder:libvpx-vp9",
        "encoder:libx265",
        "operation:analyze",
        "operation:transcode",
    }
    assert (description.operations, description.problem) == (("analyze", "transcode"), None)
    assert description.supported_codecs == ("aac", "ac3", "av1", "h264", "hevc", "mjpeg", "mp3", "opus", "vp9")
