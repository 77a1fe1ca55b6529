"""Subtitles out of the film and out of files beside it, as SRT: cheap processes of their own that decode no picture.

What they write is raw material: `plugins.media.subtitles` holds it against the film and writes what is published.
"""

from __future__ import annotations

from collections.abc import Mapping

from plugins.media.calling import quiet, untrusted
from plugins.media.subtitles import FILM, RAW, plain_of, recoded_of
from protocol.plugins import Invocation, Limits
from protocol.recipes import PlannedSubtitle, TranscodeRecipe

MOST_BYTES = 4 << 20
"""Of one text: some hundred times the words of a film."""

FILM_LIMITS = Limits(wall_s=3600.0, cpu_s=900, memory_bytes=2 << 30, file_bytes=MOST_BYTES)
FILE_LIMITS = Limits(wall_s=60.0, cpu_s=30, memory_bytes=1 << 30, file_bytes=MOST_BYTES)

FORMATS, DECODERS = "srt,webvtt,ass", "subrip,srt,ass,ssa,webvtt,text"
FALLBACK = ("-sub_charenc", "ISO-8859-1")
"""In which every byte is a letter. UTF-16 with a byte order mark is known by that."""


def extractions(ffmpeg: str, recipe: TranscodeRecipe, film: str | None, inputs: Mapping[str, str]) -> tuple[Invocation, ...]:
    """One process for all tracks of the film, and two for each file: as UTF-8, and as what it may be instead."""
    tracks = [one for one in recipe.subtitles if one.stream is not None]
    made = [_of_film(ffmpeg, recipe, tracks, film)] if tracks and film is not None else []
    for one in recipe.subtitles:
        if one.attachment is not None:
            made += [_of_file(ffmpeg, plain_of(one), inputs[one.attachment], ())]
            made += [_of_file(ffmpeg, recoded_of(one), inputs[one.attachment], FALLBACK)]
    return tuple(made)


def _of_film(ffmpeg: str, recipe: TranscodeRecipe, tracks: list[PlannedSubtitle], film: str) -> Invocation:
    outputs = [
        word
        for one in tracks
        for word in ("-map", f"0:{one.stream}", "-map_metadata", "-1", "-c:s", "srt", "-f", "srt", f"file:{RAW}/{one.name}.srt")
    ]
    argv = (ffmpeg, "-y", *quiet(), *untrusted(), "-fd", "{fd0}", "-i", "fd:", *outputs)
    return Invocation(name=FILM, argv=argv, reads=(film,), makes=(RAW,), limits=FILM_LIMITS)


def _of_file(ffmpeg: str, name: str, path: str, charset: tuple[str, ...]) -> Invocation:
    argv = (
        *(ffmpeg, *quiet(), "-protocol_whitelist", "fd", "-format_whitelist", FORMATS, "-codec_whitelist", DECODERS),
        *(*charset, "-fd", "{fd0}", "-i", "fd:", "-map", "0:s:0", "-c:s", "srt", "-f", "srt", "pipe:1"),
    )
    return Invocation(name=name, argv=argv, reads=(path,), capture_bytes=MOST_BYTES, limits=FILE_LIMITS)
