"""The steps a client sees, and which of them each task serves. One table: task x output -> step."""

from __future__ import annotations

from protocol.profiles import Profile, Tool
from protocol.states import TaskKind

VALIDATE_VIDEO = "validate_video"
UPLOAD_SOURCE = "upload_source"
GENERATE_THUMBNAILS = "generate_thumbnails"
EXTRACT_AUDIO_MP3 = "extract_audio_mp3"
TRANSCRIBE_VIDEO = "transcribe_video"
EXTRACT_FRAMES = "extract_frames"
PACKAGE_STREAMS = "package_streams"
MEASURE_SOURCE = "measure_source"
GENERATE_SPRITE = "generate_sprite"
EXTRACT_SUBTITLES = "extract_subtitles"
MEASURE_QUALITY = "measure_quality"
STREAM_LIVE = "stream_live"
NOOP = "noop"
UPLOAD_OUTPUTS = "upload_outputs"
UPDATE_DATABASE = "update_database"
CLEANUP_TEMP_FILES = "cleanup_temp_files"
SEND_NOTIFICATION = "send_notification"

CLOSING_STEPS = (UPLOAD_OUTPUTS, UPDATE_DATABASE, CLEANUP_TEMP_FILES, SEND_NOTIFICATION)
"""Steps dispatch itself does after the last task; their state follows from the job's."""


def transcode_step(rendition: str) -> str:
    return f"transcode_{rendition}"


def hls_step(rendition: str) -> str:
    return f"prepare_hls_{rendition}"


def steps_of_task(kind: TaskKind, profile: Profile) -> tuple[str, ...]:
    """The steps one task of this kind reports for, in the order clients see them."""
    match kind:
        case TaskKind.ANALYZE:
            return (VALIDATE_VIDEO, UPLOAD_SOURCE)
        case TaskKind.MEASURE:
            return (MEASURE_SOURCE,)
        case TaskKind.LIVE:
            return (STREAM_LIVE,)
        case TaskKind.NOOP:
            return (NOOP,)
        case TaskKind.TRANSCODE:
            return _transcode_steps(profile)
        case TaskKind.HANDBRAKE:
            return tuple(transcode_step(rendition.name) for rendition in profile.renditions)
        case TaskKind.TRANSCRIBE:
            return (TRANSCRIBE_VIDEO,)
        case TaskKind.FRAMES:
            return (EXTRACT_FRAMES,)
        case TaskKind.PACKAGE:
            return (PACKAGE_STREAMS,)


def _transcode_steps(profile: Profile) -> tuple[str, ...]:
    names = [] if profile.tool is Tool.HANDBRAKE else [r.name for r in profile.renditions]
    before = ((GENERATE_THUMBNAILS, profile.thumbnails), (GENERATE_SPRITE, profile.sprite))
    after = (
        (EXTRACT_AUDIO_MP3, profile.audio),
        (EXTRACT_SUBTITLES, profile.subtitles),
        *((hls_step(name), profile.hls) for name in names),
        (MEASURE_QUALITY, profile.quality_metrics and names),
    )
    first, last = (tuple(step for step, is_wanted in steps if is_wanted) for steps in (before, after))
    return (*first, *(transcode_step(name) for name in names), *last)


def order_of_steps(profile: Profile) -> tuple[str, ...]:
    """Every step a profile can have before the closing ones, as clients see them; tasks run in an order of their own."""
    names = [r.name for r in profile.renditions]
    before = (NOOP, STREAM_LIVE, VALIDATE_VIDEO, UPLOAD_SOURCE, MEASURE_SOURCE, GENERATE_THUMBNAILS, GENERATE_SPRITE)
    encodes, segments = ([named(name) for name in names] for named in (transcode_step, hls_step))
    between = (EXTRACT_AUDIO_MP3, EXTRACT_SUBTITLES, TRANSCRIBE_VIDEO)
    return (*before, *encodes, *between, *segments, PACKAGE_STREAMS, EXTRACT_FRAMES, MEASURE_QUALITY)
