"""The argument list of the one process that decodes once and writes every output."""

from __future__ import annotations

from plugins.ffmpeg.encoders import device_arguments
from plugins.ffmpeg.filters import build
from plugins.ffmpeg.graph import Graph
from plugins.ffmpeg.passes import STATS, first_of, in_order
from plugins.ffmpeg.renditions import first_pass, rendition
from plugins.ffmpeg.soundfiles import sound_alone
from plugins.ffmpeg.sources import arguments
from plugins.ffmpeg.stills import stills
from plugins.media.calling import quiet
from plugins.media.lengths import length_cap
from plugins.media.soundtracks import own_playlists, sound_files
from protocol.recipes import TranscodeRecipe


def transcode(ffmpeg: str, recipe: TranscodeRecipe, threads: int, device: str | None = None) -> tuple[str, ...]:
    """One process: the source is decoded once, and every rendition, its segments, the audio and the thumbnails are written.

    MP4 and HLS of a rendition share one encode through the `tee` muxer.
    """
    graph = build(recipe)
    return _process(ffmpeg, recipe, graph, _outputs(recipe, graph, threads), threads, device)


def first_passes(ffmpeg: str, recipe: TranscodeRecipe, threads: int) -> tuple[str, ...] | None:
    """The process before it, where renditions take two passes: one decode, every first pass of them; None where none does."""
    first = first_of(recipe)
    if first is None:
        return None
    graph = build(first)
    outputs = [
        output
        for n in in_order(first.renditions)
        for output in first_pass(recipe, first.renditions[n], graph.pictures[n], threads)
    ]
    return _process(ffmpeg, first, graph, outputs, threads, None)


def _process(
    ffmpeg: str, recipe: TranscodeRecipe, graph: Graph, outputs: list[tuple[str, ...]], threads: int, device: str | None
) -> tuple[str, ...]:
    cap = f"{float(length_cap(recipe.source)):.3f}"
    head = (
        *(ffmpeg, "-y", *quiet(), "-progress", "pipe:1", "-stats_period", "0.5"),
        *device_arguments((planned.encoder for planned in recipe.renditions), device),
        *source(recipe, threads),
        *("-filter_complex_threads", str(threads), "-filter_complex", graph.text),
    )
    common = ("-sn", "-dn", "-map_metadata", "-1", "-map_chapters", "-1", "-t", cap)
    return (*head, *(argument for output in outputs for argument in _with(output, common)))


def source(recipe: TranscodeRecipe, threads: int) -> tuple[str, ...]:
    """The inputs of the graph that `filters.build` makes: for the encode, and for what measures by the same graph."""
    return arguments(recipe, threads)


def _with(output: tuple[str, ...], common: tuple[str, ...]) -> tuple[str, ...]:
    """The options every output has, before the muxer and the path that end it."""
    cut = len(output) - 1 - output[::-1].index("-f")
    return (*output[:cut], *common, *output[cut:])


def _outputs(recipe: TranscodeRecipe, graph: Graph, threads: int) -> list[tuple[str, ...]]:
    made = [
        rendition(recipe, recipe.renditions[n], (graph.pictures[n], graph.sounds.renditions[n]), threads)
        for n in in_order(recipe.renditions)
        if graph.pictures  # sound alone has no picture
    ]
    return [*made, *sound_alone(recipe, graph.sounds), *stills(recipe, graph)]


def directories(recipe: TranscodeRecipe) -> tuple[str, ...]:
    """The directories the outputs go to, below the work directory."""
    paths = [planned.path for planned in recipe.renditions]
    paths += [path for planned in recipe.renditions for path in (planned.playlist, planned.segments) if path]
    paths += [file.planned.path for file in sound_files(recipe)]
    paths += [track.planned.playlist for track in own_playlists(recipe) if track.planned.playlist]
    paths += [recipe.speech] if recipe.speech else []
    paths += [f"{STATS}/" for _ in filter(None, [first_of(recipe)])]
    paths += [*(shot.path for shot in recipe.thumbnails), *([recipe.sprite.path] if recipe.sprite else [])]
    return tuple(sorted({parent for path in paths if (parent := path.rpartition("/")[0])}))
