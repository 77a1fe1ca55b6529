"""The sound's part of the graph: decoded once, laid on the timeline from 0, shared by all who use it."""

from __future__ import annotations

from plugins.ffmpeg.graph import split
from plugins.ffmpeg.picture_chain import length_cap
from protocol.recipes import TranscodeRecipe


def sounds(recipe: TranscodeRecipe, lines: list[str]) -> tuple[str, ...]:
    """One label for each output that has sound: the renditions in order, the file, the speech."""
    labels = tuple(f"a{n}" for n in range(_users(recipe)))
    if labels:
        cut = f"atrim=end={float(length_cap(recipe.source)):.3f}"
        head = f"[0:{recipe.source.audio[0].index}]{cut},aresample=async=1:first_pts=0"
        lines.append(f"{head}{split('asplit', labels)}")
    return labels


def _users(recipe: TranscodeRecipe) -> int:
    if not recipe.source.audio:
        return 0
    return len(recipe.renditions) + (recipe.audio is not None) + (recipe.speech is not None)
