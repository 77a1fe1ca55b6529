"""How a rendition is held against its source: the same graph that fed its encoder, and the file, frame by frame."""

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

GRID = Fraction(1, 25)
"""Both pictures are told to have this time base and as many ticks as frames: they are compared by their numbers."""


@dataclass(frozen=True, slots=True)
class Look:
    """What is measured. `spans` are the first and last frames of what is compared; empty is the whole. `shown` is the size
    at which both are compared, where that is not the rendition's own.
    """

    metrics: Sequence[Metric]
    spans: Sequence[tuple[int, int]] = ()
    shown: tuple[int, int] | None = None


def score(
    ffmpeg: str,
    recipe: TranscodeRecipe,
    planned: PlannedRendition,
    look: Look,
    threads: int,
) -> tuple[str, ...]:
    """The file of `planned` against what its encoder was given, scaled straight from the source."""
    width, height = look.shown or (planned.width, planned.height)
    reference = _reference(recipe, planned, width, height)
    inputs = source(reference, threads)
    graph = build(reference)
    made = f"[{inputs.count('-i')}:v:0]"
    depth = "yuv420p10le" if planned.rendition.bit_depth == 10 else "yuv420p"
    chosen = f"{_select(look.spans)}settb=expr={GRID.numerator}/{GRID.denominator},setpts=N,format={depth}"
    scale = f"scale=w={width}:h={height}:flags=bicubic," if look.shown else ""
    lines = [graph.text, f"[{graph.pictures[0]}]{chosen}[reference]", f"{made}{scale}setsar=1,{chosen}[made]"]
    lines += scores.lines("made", "reference", look.metrics, (width, height), threads)
    outputs = [word for label in scores.outputs(look.metrics) for word in ("-map", f"[{label}]", "-f", "null", "-")]
    head = tuple("level+info" if word == "level+error" else word for word in quiet())
    return (
        *(ffmpeg, *head, "-progress", "pipe:1", "-stats_period", "0.5", *inputs),
        *("-threads", str(threads), *own_file(planned.path)),
        *("-filter_complex_threads", str(threads), "-filter_complex", ";".join(lines), *outputs),
    )


def _reference(recipe: TranscodeRecipe, planned: PlannedRendition, width: int, height: int) -> TranscodeRecipe:
    """The recipe of that picture alone, for a software encoder: its frames never leave the processor's memory."""
    encoder = SOFTWARE_ENCODERS[planned.rendition.codec]
    place = {"encoder": encoder, "width": width, "height": height, "playlist": None, "segments": None}
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
    }
    silent = recipe.source.model_copy(update={"audio": ()})
    alone = (planned.model_copy(update=place),)
    return recipe.model_copy(update={**nothing, "source": silent, "renditions": alone})


def _select(spans: Sequence[tuple[int, int]]) -> str:
    if not spans:
        return ""
    wanted = "+".join(f"between(n,{first},{last})" for first, last in spans)
    return f"select='{wanted}',"
