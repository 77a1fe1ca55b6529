"""A filter graph in FFmpeg's words, with the labels of what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.recipes import TranscodeRecipe


@dataclass(frozen=True, slots=True)
class Sounds:
    """Labels of sound: for each rendition those of its tracks, for each file its own, and that of the speech."""

    renditions: tuple[tuple[str, ...], ...] = ()
    files: tuple[str, ...] = ()
    speech: str | None = None


@dataclass(frozen=True, slots=True)
class Graph:
    """The text for `-filter_complex` and the labels of its outputs, in the order of the recipe."""

    text: str
    pictures: tuple[str, ...]
    shots: tuple[str, ...]
    sounds: Sounds
    sheet: str | None = None
    """The sprite's tiles on one picture."""


STILLS = "shots"
"""The branch that single pictures are taken of."""


def has_stills(recipe: TranscodeRecipe) -> bool:
    return recipe.source.video is not None and bool(recipe.thumbnails or recipe.sprite)


def split(name: str, labels: list[str] | tuple[str, ...]) -> str:
    """The end of a chain that feeds `labels`."""
    ends = "".join(f"[{label}]" for label in labels)
    return ends if len(labels) == 1 else f",{name}={len(labels)}{ends}"
