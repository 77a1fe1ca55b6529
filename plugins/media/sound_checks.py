"""The invocations that prove the sound of a transcode: what its files are, their ends, and how loud they became."""

from __future__ import annotations

from collections.abc import Iterator

from plugins.media.calling import own_file, quiet
from plugins.media.soundtracks import heard, sound_files
from protocol.recipes import TranscodeRecipe

LOUDNESS = "loudness"


def levelled(recipe: TranscodeRecipe) -> Iterator[tuple[str, int]]:
    """The files whose loudness was brought to what was asked for, each with the place of the track that tells for it."""
    tracks = heard(recipe)
    if tracks and tracks[0].is_levelled:
        yield from ((planned.path, 0) for planned in recipe.renditions)
    yield from ((file.planned.path, 0) for file in sound_files(recipe) if file.track.is_levelled)


def loudness(ffmpeg: str, path: str, place: int) -> tuple[str, ...]:
    """The integrated loudness by EBU R 128 of one track, which the filter tells on stderr when it ends."""
    told = tuple("level+info" if word == "level+error" else word for word in quiet())
    measured = ("-map", f"0:a:{place}", "-af", "ebur128=framelog=quiet", "-f", "null", "-")
    return (ffmpeg, *told, *own_file(path, "-vn"), *measured)
