"""Recipes as dispatch would plan them, for the tests of the FFmpeg plugin."""

from __future__ import annotations

from fractions import Fraction

from protocol.encoding import Preset
from protocol.media import MediaFacts
from protocol.packaging import HlsPackaging, SegmentFormat
from protocol.profiles import Rendition
from protocol.recipes import PlannedAudio, PlannedRendition, ThumbnailShot, TranscodeRecipe
from protocol.sounds import AudioFile, RenditionAudio
from protocol.steps import EXTRACT_AUDIO_MP3, GENERATE_THUMBNAILS, TRANSCRIBE_VIDEO, hls_step, transcode_step

TEN_SECONDS = HlsPackaging(segment_seconds=10)
PERCENTS = (0, 25, 50, 75, 100)
ROWS = {
    180: ("main", "3.1", 23, 96_000, 44_100),
    360: ("main", "3.1", 23, 96_000, 44_100),
    720: ("high", "4.0", 22, 128_000, 48_000),
}


def rendition(height: int, preset: Preset = Preset.MEDIUM) -> Rendition:
    """360p or 720p with the numbers of the profile `web`, and a 180p like its 360p for small clips."""
    profile, level, crf, bitrate, sample_rate = ROWS[height]
    return Rendition(
        name=f"{height}p",
        height=height,
        preset=preset,
        crf=crf,
        profile=profile,
        level=level,
        audio=RenditionAudio(bitrate=bitrate, sample_rate=sample_rate),
        min_source_width=height * 16 // 9,
        min_source_height=height,
    )


def planned(source: MediaFacts, height: int, *, hls: HlsPackaging | None, preset: Preset) -> PlannedRendition:
    assert source.video is not None
    name = f"{height}p"
    suffix = "m4s" if hls and hls.format is SegmentFormat.FMP4 else "ts"
    return PlannedRendition(
        rendition=rendition(height, preset),
        encoder="libx264",
        width=round(Fraction(source.video.width * height, source.video.height) / 2) * 2,
        height=height,
        path=f"{name}/video_{name}.mp4",
        playlist=f"{name}/segments/playlist.m3u8" if hls else None,
        segments=f"{name}/segments/segment_%03d.{suffix}" if hls else None,
    )


def shots(source: MediaFacts) -> tuple[ThumbnailShot, ...]:
    duration = Fraction(source.duration)
    return tuple(
        ThumbnailShot(percent=percent, at=str(duration * percent / 100), path=f"thumbnails/thumb_{percent:02d}.jpg")
        for percent in PERCENTS
    )


def web(
    source: MediaFacts,
    *,
    heights: tuple[int, ...] = (360, 720),
    hls: HlsPackaging | None = TEN_SECONDS,
    preset: Preset = Preset.MEDIUM,
) -> TranscodeRecipe:
    """What the profile `web` makes of `source`."""
    return TranscodeRecipe(
        source=source,
        renditions=tuple(planned(source, height, hls=hls, preset=preset) for height in heights),
        hls=hls,
        master_playlist="hls/master.m3u8" if hls else None,
        audio=PlannedAudio(audio=AudioFile(), path="audio/audio.mp3"),
        thumbnails=shots(source),
    )


def steps(heights: tuple[int, ...] = (360, 720)) -> tuple[str, ...]:
    names = [f"{height}p" for height in heights]
    transcodes = [transcode_step(name) for name in names]
    return (GENERATE_THUMBNAILS, *transcodes, EXTRACT_AUDIO_MP3, TRANSCRIBE_VIDEO, *(hls_step(name) for name in names))
