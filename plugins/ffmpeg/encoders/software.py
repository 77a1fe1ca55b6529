"""Encoders that run on processors: x264, x265, SVT-AV1 and libvpx, each spoken to in its own words."""

from __future__ import annotations

from fractions import Fraction

from plugins.ffmpeg.encoders.mastering import as_svt, as_x265
from plugins.ffmpeg.encoders.settings import Settings, buffer, joined, shape
from protocol.encoding import Preset

SVT_PRESETS: dict[Preset, int] = {
    Preset.ULTRAFAST: 12,
    Preset.SUPERFAST: 11,
    Preset.VERYFAST: 10,
    Preset.FASTER: 9,
    Preset.FAST: 8,
    Preset.MEDIUM: 7,
    Preset.SLOW: 5,
    Preset.SLOWER: 4,
    Preset.VERYSLOW: 3,
}
VP9_SPEEDS: dict[Preset, int] = {
    **dict.fromkeys((Preset.ULTRAFAST, Preset.SUPERFAST, Preset.VERYFAST), 5),
    Preset.FASTER: 4,
    Preset.FAST: 3,
    Preset.MEDIUM: 2,
    Preset.SLOW: 1,
    Preset.SLOWER: 1,
    Preset.VERYSLOW: 0,
}
"""`-cpu-used` at the deadline `good`, which knows 0 to 5."""

SVT_MOST_PARALLEL = 6
X265_FRAME_THREADS = ((32, 6), (16, 5), (8, 3), (4, 2))
"""From so many threads on, x265 encodes so many frames at once: its own choice, but by the slot and not by the machine."""

VP9_TILE_WIDTH, VP9_MOST_TILES = 512, 4
"""Columns of tiles are encoded side by side; narrower ones cost quality."""

VP9_UNDER_CAP = Fraction(17, 20)
"""libvpx keeps its constrained quality to an average, and overshoots it on a short film."""


def libx264(settings: Settings) -> tuple[str, ...]:
    planned = settings.planned
    return (
        *("-c:v", "libx264", "-preset", planned.preset.value, *_rate(settings, f"{settings.crf:g}"), *buffer(settings)),
        *shape(planned.rendition.profile, planned.rendition.level),
        *_x264_turn(settings),
    )


def _x264_turn(settings: Settings) -> tuple[str, ...]:
    turn = settings.turn
    return ("-pass:v", str(turn.number), "-x264-params", f"stats={turn.stats}") if turn else ()


def libx265(settings: Settings) -> tuple[str, ...]:
    """Its threads, level and passes are told by its own parameters: FFmpeg's options for them reach it in no version or one.

    `hvc1` is the form that players of Apple take.
    """
    planned, turn, kept = settings.planned, settings.turn, settings.kept()
    level = planned.rendition.level
    parameters = joined(
        log_level="error",
        info=0,
        pools=settings.threads,
        frame_threads=next((frames for least, frames in X265_FRAME_THREADS if settings.threads >= least), 1),
        level_idc=level,
        high_tier=0 if level else None,
        **{"pass": turn.number if turn else None},
        stats=turn.stats if turn else None,
        slow_firstpass=0 if turn else None,
    )
    parameters = ":".join([parameters, *as_x265(kept)])
    return (
        *("-c:v", "libx265", "-preset", planned.preset.value, *_rate(settings, f"{settings.crf:g}"), *buffer(settings)),
        *shape(planned.rendition.profile, None),
        *("-forced-idr", "1", "-tag:v", "hvc1", "-x265-params", parameters),
    )


def libsvtav1(settings: Settings) -> tuple[str, ...]:
    """An average bit rate is kept in one pass, with a look ahead: FFmpeg hands it no statistics of a first one.

    It takes a cap with constant quality alone.
    """
    planned = settings.planned
    level = planned.rendition.level
    parameters = joined(lp=min(settings.threads, SVT_MOST_PARALLEL), level=level.replace(".", "") if level else None)
    capped = buffer(settings) if planned.spends.bitrate is None else ()
    return (
        *("-c:v", "libsvtav1", "-preset", str(SVT_PRESETS[planned.preset])),
        *(*_rate(settings, f"{settings.crf:.0f}"), *capped),
        *("-svtav1-params", ":".join([parameters, *as_svt(settings.kept())])),
    )


def libvpx_vp9(settings: Settings) -> tuple[str, ...]:
    """With a bit rate beside it, the quality is one that the average may not exceed; 0 is none."""
    planned, turn = settings.planned, settings.turn
    spends, rendition = planned.spends, planned.rendition
    if spends.bitrate is None:
        average = round(spends.max_bitrate * VP9_UNDER_CAP) if spends.max_bitrate else 0
        rate: tuple[str, ...] = ("-crf", f"{settings.crf:.0f}", "-b:v", str(average))
    else:
        rate = ("-b:v", str(spends.bitrate))
    profile = rendition.profile.removeprefix("profile") if rendition.profile else None
    return (
        *("-c:v", "libvpx-vp9", "-deadline", "good", "-cpu-used", str(VP9_SPEEDS[planned.preset])),
        *(*rate, *buffer(settings), *shape(profile, rendition.level)),
        *("-row-mt", "1", "-tile-columns", str(_tile_columns(planned.width))),
        *(("-pass:v", str(turn.number), "-passlogfile:v", turn.stats) if turn else ()),
    )


def _tile_columns(width: int) -> int:
    """As a power of two."""
    return min(VP9_MOST_TILES, max(0, (width // VP9_TILE_WIDTH).bit_length() - 1))


def _rate(settings: Settings, crf: str) -> tuple[str, ...]:
    bitrate = settings.planned.spends.bitrate
    return ("-crf", crf) if bitrate is None else ("-b:v", str(bitrate))
