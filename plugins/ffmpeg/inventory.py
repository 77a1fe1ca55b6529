"""What this machine can do, proven: each encoder listed has encoded 10 frames here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from plugins.ffmpeg.encoders import ENCODERS, EncoderRow
from protocol.plugins import Invocation, Limits, Outcome

TRIAL_LIMITS = Limits(wall_s=30.0, cpu_s=60, memory_bytes=2 << 30, file_bytes=1 << 20)

TRANSCODE_NEEDS = frozenset({"libx264", "aac", "libmp3lame", "mjpeg"})
"""The encoders without which an engine takes no transcode task."""

FILTERS = frozenset({"scale", "fps", "split", "select", "setsar", "format", "bwdif", "aresample", "asplit"})
"""The filters every graph of ours is made of."""

_FILTER = re.compile(r"^ [TSC.]{2,3} (\w+) ", re.MULTILINE)


def probes(ffmpeg: str, ffprobe: str) -> tuple[Invocation, ...]:
    """Lists what the build has, and tries each encoder."""
    listings = (("version", (ffprobe, "-version")), ("filters", (ffmpeg, "-hide_banner", "-filters")))
    listed = [Invocation(name=f"inventory:{name}", argv=argv, limits=TRIAL_LIMITS) for name, argv in listings]
    return (*listed, *(_trial(ffmpeg, row) for row in ENCODERS))


def _trial(ffmpeg: str, row: EncoderRow) -> Invocation:
    head = (ffmpeg, "-hide_banner", "-nostdin", "-nostats", "-loglevel", "level+error")
    return Invocation(name=f"trial:{row.name}", argv=(*head, *row.trial, "-f", "null", "-"), limits=TRIAL_LIMITS)


def _succeeded(outcomes: Iterable[Outcome]) -> dict[str, Outcome]:
    return {outcome.invocation.name: outcome for outcome in outcomes if outcome.exit_code == 0 and not outcome.timed_out}


def proven_encoders(outcomes: Sequence[Outcome]) -> tuple[EncoderRow, ...]:
    done = _succeeded(outcomes)
    return tuple(row for row in ENCODERS if f"trial:{row.name}" in done)


def operations(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """The task kinds this machine can do: to analyze needs ffprobe, to transcode every encoder and filter as well."""
    done = _succeeded(outcomes)
    if "inventory:version" not in done or "inventory:filters" not in done:
        return ()
    filters = set(_FILTER.findall(done["inventory:filters"].stdout.decode("utf-8", "replace")))
    encoders = {row.name for row in proven_encoders(outcomes)}
    return ("analyze", "transcode") if filters >= FILTERS and encoders >= TRANSCODE_NEEDS else ("analyze",)


def capabilities(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    encoders = [f"encoder:{row.name}" for row in proven_encoders(outcomes)]
    return tuple(sorted([*encoders, *(f"operation:{operation}" for operation in operations(outcomes))]))


def supported_codecs(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    return tuple(sorted({row.codec for row in proven_encoders(outcomes)}))


def missing(outcomes: Sequence[Outcome]) -> str | None:
    """What keeps this machine from transcoding, for people; None when nothing does."""
    if "transcode" in operations(outcomes):
        return None
    lacking = sorted(TRANSCODE_NEEDS - {row.name for row in proven_encoders(outcomes)})
    return f"FFmpeg cannot encode with: {', '.join(lacking)}" if lacking else "FFmpeg lacks filters that every transcode needs"
