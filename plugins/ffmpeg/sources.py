"""What the graph reads, in its order: the input or the parts of the film, then the watermark. All by their descriptors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from plugins.ffmpeg.device_chain import decoding as on_device
from plugins.ffmpeg.device_chain import own_decoders
from plugins.media.calling import untrusted
from plugins.media.lengths import length_cap
from protocol.recipes import Cut, SourcePart, TranscodeRecipe

UNLISTED = frozenset({"mpegts", "mpeg"})
"""Containers that do not list where their keyframes are."""

EARLIER = Fraction(8)
"""Seconds. Keyframes of what is made to be joined at any moment lie closer together. FFmpeg takes a start that lies 10 s off
(`dts_delta_threshold`) for a break in the stream's clock, and mends it away."""

MOST_MARK_PIXELS = 4096 * 4096
MARK = (
    *("-protocol_whitelist", "fd", "-format_whitelist", "png_pipe,jpeg_pipe,webp_pipe"),
    *("-codec_whitelist", "png,mjpeg,webp", "-max_pixels", str(MOST_MARK_PIXELS), "-max_streams", "1"),
)
"""What stands before a client's picture: no demuxer that opens other files, no format that moves."""


@dataclass(frozen=True, slots=True)
class Opened:
    """One input of a process. `attachment` is its name among the task's inputs, None the job's own."""

    attachment: str | None
    options: tuple[str, ...]


def opened(recipe: TranscodeRecipe, threads: int) -> tuple[Opened, ...]:
    overlay = recipe.picture.overlay
    return (*_films(recipe, threads), *([Opened(overlay.attachment, MARK)] if overlay else []))


def arguments(recipe: TranscodeRecipe, threads: int) -> tuple[str, ...]:
    """Each input's options and itself; `{fd0}` and on are the descriptors of `reads`."""
    inputs = enumerate(opened(recipe, threads))
    return tuple(word for n, one in inputs for word in (*one.options, "-fd", f"{{fd{n}}}", "-i", "fd:"))


def reads(recipe: TranscodeRecipe, own: str, inputs: Mapping[str, str]) -> tuple[str, ...]:
    """The paths to open, in the same order. Raises KeyError for an attachment that the task was not given."""
    return tuple(own if one.attachment is None else inputs[one.attachment] for one in opened(recipe, 1))


def mark_place(recipe: TranscodeRecipe) -> int:
    """The number of the watermark's input."""
    return max(1, len(recipe.parts))


def seconds(value: Fraction) -> str:
    return f"{float(value):.6f}"


def _films(recipe: TranscodeRecipe, threads: int) -> tuple[Opened, ...]:
    decoding = ("-threads", str(threads))
    if recipe.parts:
        return tuple(
            Opened(part.attachment, (*untrusted(), *decoding, *_taken(_cut_of(part), part.facts.container)))
            for part in recipe.parts
        )
    taken = (
        ("-t", f"{float(length_cap(recipe.source)):.3f}") if recipe.cut is None else _taken(recipe.cut, recipe.source.container)
    )
    allowed = untrusted(also=own_decoders(recipe.decoder))
    return (Opened(None, (*on_device(recipe.decoder), *allowed, *decoding, *taken)),)


def _taken(cut: Cut, container: str) -> tuple[str, ...]:
    """Decoded from the keyframe before, dropped up to the moment itself. Where keyframes are not listed a search may end behind
    the one that is needed: it is made for an earlier moment, and what comes before the right one falls before 0.
    """
    start, end = Fraction(cut.start), Fraction(cut.end)
    if start and container in UNLISTED:
        early = min(start, EARLIER)
        sought = ("-ss", seconds(start - early)) if start > early else ()
        return (*sought, "-itsoffset", f"-{seconds(early)}", "-t", seconds(end - start + early))
    return (*(("-ss", seconds(start)) if start else ()), "-t", seconds(end - start))


def _cut_of(part: SourcePart) -> Cut:
    start = Fraction(part.start)
    return Cut(start=part.start, end=str(start + Fraction(part.length or part.facts.duration)))
