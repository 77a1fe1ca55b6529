"""Which of a film's texts hold a word: the packager fails at one without a cue."""

from __future__ import annotations

from collections.abc import Sequence

from plugins.media import checks
from plugins.media.calling import quiet
from plugins.packager.tracks import TEXT_INPUT
from protocol.plugins import Invocation, MadeFile, Outcome
from protocol.recipes import PackageRecipe

WORDS = "words"
CUE = b"-->"


def read(ffmpeg: str, name: str, path: str) -> Invocation:
    """The text named so, as it is; `path` is its file, which is opened for FFmpeg."""
    reads = ("-protocol_whitelist", "fd", "-f", "data", "-fd", "{fd0}", "-i", "fd:")
    argv = (ffmpeg, *quiet(), *reads, "-map", "0", "-c", "copy", "-f", "data", "pipe:1")
    return Invocation(name=f"{WORDS}:{name}", argv=argv, reads=(path,), limits=checks.CHECK_LIMITS, readable=(path,))


def read_ones(recipe: PackageRecipe, outcomes: Sequence[Outcome]) -> PackageRecipe:
    """The recipe without the texts that were read and have no cue."""
    spoken = {one.invocation.name for one in outcomes if CUE in one.stdout}
    return _with(recipe, [one.name for one in recipe.subtitles if f"{WORDS}:{one.name}" in spoken])


def made_ones(recipe: PackageRecipe, files: Sequence[MadeFile]) -> PackageRecipe:
    """The recipe without the texts of which nothing was made."""
    made = {file.path.rpartition("/")[0].removesuffix(".mp4") for file in files}
    return _with(recipe, [one.name for one in recipe.subtitles if f"{recipe.directory}/{TEXT_INPUT}{one.name}" in made])


def _with(recipe: PackageRecipe, names: Sequence[str]) -> PackageRecipe:
    return recipe.model_copy(update={"subtitles": tuple(one for one in recipe.subtitles if one.name in names)})
