"""What the real tools wrote, recorded once: ffprobe's JSON, a progress log, the last lines of stderr."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plugins.media import progress, report, verdict
from plugins.media.probe import facts_of
from protocol.errors import ErrorCode, FailureClass
from protocol.media import AudioStream, MediaFacts, VideoStream
from protocol.plugins import Invocation, Outcome
from protocol.results import StepReport

GOLDEN = Path(__file__).parent
FORMAT, CORRUPT, LIMITS = ErrorCode.INPUT_FORMAT, ErrorCode.INPUT_CORRUPT, ErrorCode.INPUT_LIMITS
INPUT, ENGINE, INFRA = FailureClass.INPUT, FailureClass.ENGINE, FailureClass.INFRA

VERDICTS: dict[str, tuple[FailureClass, ErrorCode] | None] = {
    "probe_text": (INPUT, FORMAT),
    "probe_empty": (INPUT, FORMAT),
    "probe_index_lost": (INPUT, CORRUPT),
    "probe_too_many_pixels": (INPUT, LIMITS),
    "probe_too_many_streams": (INPUT, LIMITS),
    "decode_text": (INPUT, FORMAT),
    "decode_empty": (INPUT, FORMAT),
    "decode_index_lost": (INPUT, CORRUPT),
    "decode_too_many_pixels": (INPUT, LIMITS),
    "decode_too_many_streams": (INPUT, LIMITS),
    "encode_disk_full": (INFRA, ErrorCode.TASK_DISK),
    "encode_file_too_large": (ENGINE, ErrorCode.TASK_DISK),
    "encode_no_memory": (ENGINE, ErrorCode.TASK_MEMORY),
    "encode_no_encoder": (ENGINE, ErrorCode.TOOL_FAILED),
    "encode_no_cuda": (INFRA, ErrorCode.TOOL_FAILED),
    "encode_no_qsv": (INFRA, ErrorCode.TOOL_FAILED),
    "encode_no_vaapi": (INFRA, ErrorCode.TOOL_FAILED),
    "encode_stream_missing": (INPUT, FORMAT),
    "probe_index_too_large": (INPUT, LIMITS),
    "probe_impossible_size": (INPUT, LIMITS),
    "encode_absurd_durations": (INPUT, CORRUPT),
    "encode_picture_changes": (INPUT, FORMAT),
    "encode_truncated": None,
    "encode_damaged": None,
    "encode_ok": None,
}


def recorded_outcome(name: str) -> Outcome:
    """A record is the exit code on its first line, then stderr."""
    exit_code, _, stderr = (GOLDEN / "ffmpeg_stderr" / f"{name}.txt").read_text(encoding="utf-8").partition("\n")
    return Outcome(Invocation("encode", ("ffmpeg",)), int(exit_code), b"", stderr, wall_seconds=1.0, cpu_seconds=1.0)


def facts(name: str) -> MediaFacts:
    return facts_of((GOLDEN / "ffmpeg_probe" / f"{name}.json").read_bytes(), 1000)


def picture(name: str) -> VideoStream:
    video = facts(name).video
    assert video is not None
    return video


def test_every_record_has_a_verdict() -> None:
    assert set(VERDICTS) == {path.stem for path in (GOLDEN / "ffmpeg_stderr").glob("*.txt")}


@pytest.mark.parametrize("name", sorted(VERDICTS))
def test_recorded_endings_get_their_verdict(name: str) -> None:
    failure = verdict.judge(recorded_outcome(name), reads_input=True)

    assert (None if failure is None else (failure.failure_class, failure.code)) == VERDICTS[name]


@pytest.mark.parametrize("name", sorted(VERDICTS))
def test_messages_quote_nothing_of_the_tool(name: str) -> None:
    outcome = recorded_outcome(name)
    failure = verdict.judge(outcome, reads_input=True)
    message = failure.message if failure else ""

    assert not [line for line in outcome.stderr_tail.splitlines() if line and line in message]
    assert " @ 0x" not in verdict.redact(outcome.stderr_tail)


def test_concealed_damage_becomes_a_warning() -> None:
    assert report.warnings(recorded_outcome("encode_ok")) == ()
    (warning,) = report.warnings(recorded_outcome("encode_damaged"))

    assert warning.startswith("Parts of the input are damaged: ")


def test_a_rotated_phone_clip_is_told_as_displayed() -> None:
    assert facts("phone_rotated") == MediaFacts(
        container="mp4",
        duration="3",
        size_bytes=1000,
        bitrate=facts("phone_rotated").bitrate,
        video=VideoStream(
            index=0,
            codec="h264",
            width=360,
            height=640,
            coded_width=640,
            coded_height=360,
            rotation=270,
            frame_rate="25",
            pixel_format="yuv420p",
            duration="3",
            frames=75,
            bitrate=picture("phone_rotated").bitrate,
        ),
        audio=(
            AudioStream(
                index=1,
                codec="aac",
                channels=1,
                sample_rate=48_000,
                bitrate=facts("phone_rotated").audio[0].bitrate,
                language="und",
                duration="3",
                is_default=True,
                layout="mono",
            ),
        ),
        streams=2,
    )


def test_cover_art_is_not_the_picture() -> None:
    document = json.loads((GOLDEN / "ffmpeg_probe" / "cover_art.json").read_bytes())
    document["streams"].reverse()  # cover first, as other writers put it
    video = facts_of(json.dumps(document).encode(), 1000).video

    assert [stream["codec_name"] for stream in document["streams"]] == ["mjpeg", "aac", "h264"]
    assert video is not None
    assert (video.codec, video.index) == ("h264", 0)


def test_anamorphic_pictures_are_told_in_square_pixels() -> None:
    video = picture("anamorphic")

    assert (video.coded_width, video.coded_height) == (720, 576)
    assert (video.width, video.height, video.sample_aspect_ratio) == (1024, 576, "64/45")


def test_interlaced_pictures_count_frames_not_fields() -> None:
    assert (picture("interlaced").is_interlaced, picture("interlaced").frame_rate) == (True, "25/2")


def test_ten_bits_are_told() -> None:
    assert (picture("ten_bit").bit_depth, picture("ten_bit").pixel_format) == (10, "yuv420p10le")


def test_a_variable_rate_is_told_as_the_grid_its_frames_keep_to() -> None:
    assert picture("variable_rate").frame_rate == "25"


def test_missing_stream_durations_stay_unknown() -> None:
    assert (picture("flash").duration, facts("flash").duration) == (None, "3021/1000")


def test_a_late_picture_keeps_its_start() -> None:
    assert (picture("late_picture").start, facts("late_picture").duration) == ("1", "4")


@pytest.mark.parametrize(
    ("name", "container"),
    [("webm", "webm"), ("ten_bit", "mkv"), ("edit_list", "mp4"), ("transport_stream", "mpegts"), ("flash", "flv")],
)
def test_containers_have_one_word(name: str, container: str) -> None:
    assert facts(name).container == container


def test_surround_keeps_its_channels_and_an_edit_list_its_shown_length() -> None:
    assert [audio.channels for audio in facts("surround").audio] == [6]
    assert facts("edit_list").duration == "17/10"
    assert facts("no_sound").audio == ()


def replay(log: str, goal: progress.Goal) -> list[tuple[StepReport, ...]]:
    now, told = progress.Progress(), []
    for line in log.splitlines():
        now = progress.advance(now, line, goal)
        told.append(progress.reports(now, ("transcode_360p",), goal))
    return [reports for reports in told if reports]


def test_a_recorded_log_gives_a_progress_that_never_falls_and_an_eta_that_ends_at_zero() -> None:
    log = (GOLDEN / "ffmpeg_progress.log").read_text(encoding="utf-8")
    told = [reports[0] for reports in replay(log, progress.Goal(frames=500, seconds=20.0, rate=25.0))]
    fractions = [one.progress for one in told]

    assert len(told) == log.count("progress=")
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, progress.NOT_YET_DONE)
    assert (told[0].eta_seconds, told[-1].eta_seconds) == (None, 0.0)


def test_the_eta_of_a_recorded_log_is_near_the_truth_half_way() -> None:
    log = (GOLDEN / "ffmpeg_progress.log").read_text(encoding="utf-8")
    told = [reports[0] for reports in replay(log, progress.Goal(frames=500, seconds=20.0, rate=25.0))]
    half_way = next(one for one in told if one.progress >= 0.5)
    left = 0.5 * sum(1 for one in told if one.progress > half_way.progress)  # a block every half second

    assert half_way.eta_seconds == pytest.approx(left, rel=0.35)
