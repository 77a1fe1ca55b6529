"""How renditions are held against their source: the same graph that fed their encoders, and the files, frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from plugins.ffmpeg.command import source
from plugins.ffmpeg.filters import build
from plugins.media import scores
from plugins.media.calling import own_file, quiet
from protocol.encoding import SOFTWARE_ENCODERS
from protocol.extras import Metric
from protocol.recipes import PlannedRendition, TranscodeRecipe

SAYING = "level+info"
"""The scores are told at that level."""

GRID = Fraction(1, 25)
"""Both pictures are told to have this time base and as many ticks as frames: they are compared by their numbers."""


@dataclass(frozen=True, slots=True)
class Look:
    """What of a rendition is measured. `spans` are the first and last frames of what is compared; empty is the whole. `shown`
    is the size at which both are compared, where that is not the rendition's own.
    """

    planned: PlannedRendition
    spans: Sequence[tuple[int, int]] = ()
    shown: tuple[int, int] | None = None

    @property
    def size(self) -> tuple[int, int]:
        return self.shown or (self.planned.width, self.planned.height)


def score(
    ffmpeg: str, recipe: TranscodeRecipe, looks: Sequence[Look], metrics: Sequence[Metric], threads: int
) -> tuple[str, ...]:
    """One process: the source is decoded once, and the file of each rendition is held against what its encoder was given.

    The filters are called by the renditions' names.
    """
    reference = _reference(recipe, looks)
    inputs, graph = source(reference, threads), build(reference)
    lines, outputs, files = [graph.text], [], []
    for n, look in enumerate(looks):
        pair = scores.Pair(look.planned.rendition.name, f"made{n}", f"reference{n}", look.size)
        lines += [*_pair(look, n, graph.pictures[n], inputs.count("-i") + n), *scores.lines(pair, metrics, threads)]
        outputs += [word for label in scores.outputs(pair, metrics) for word in ("-map", f"[{label}]", "-f", "null", "-")]
        files += ["-threads", str(threads), *own_file(look.planned.path)]
    return (
        *(
            ffmpeg,
            *(SAYING if word == "level+error" else word for word in quiet()),
            "-progress",
            "pipe:1",
            "-stats_period",
            "0.5",
        ),
        *(*inputs, *files, "-filter_complex_threads", str(threads), "-filter_complex", ";".join(lines), *outputs),
    )


def _pair(look: Look, number: int, picture: str, place: int) -> tuple[str, str]:
    """Both pictures, in one size and format, on one grid. `place` is the number of the file's input."""
    depth = "yuv420p10le" if look.planned.rendition.bit_depth == 10 else "yuv420p"
    chosen = f"{_select(look.spans)}settb=expr={GRID.numerator}/{GRID.denominator},setpts=N,format={depth}"
    scale = f"scale=w={look.size[0]}:h={look.size[1]}:flags=bicubic," if look.shown else ""
    return f"[{picture}]{chosen}[reference{number}]", f"[{place}:v:0]{scale}setsar=1,{chosen}[made{number}]"


def _reference(recipe: TranscodeRecipe, looks: Sequence[Look]) -> TranscodeRecipe:
    """The recipe of those pictures alone, for software encoders: frames never leave the processor's memory."""
    nothing: dict[str, object] = {
        "hls": None,
        "master_playlist": None,
        "audio": None,
        "speech": None,
        "own_thumbnail": None,
        "sprite": None,
        "tracks": (),
        "more_audio": (),
        "thumbnails": (),
        "subtitles": (),
        "metrics": None,
        "decoder": None,
    }
    silent = recipe.source.model_copy(update={"audio": ()})
    return recipe.model_copy(update={**nothing, "source": silent, "renditions": tuple(map(_alone, looks))})


def _alone(look: Look) -> PlannedRendition:
    encoder = SOFTWARE_ENCODERS[look.planned.rendition.codec]
    place = {"encoder": encoder, "width": look.size[0], "height": look.size[1], "playlist": None, "segments": None}
    return look.planned.model_copy(update=place)


def _select(spans: Sequence[tuple[int, int]]) -> str:
    if not spans:
        return ""
    wanted = "+".join(f"between(n,{first},{last})" for first, last in spans)
    return f"select='{wanted}',"
