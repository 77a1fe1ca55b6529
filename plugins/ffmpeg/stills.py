"""The outputs that are single pictures."""

from __future__ import annotations

from collections.abc import Sequence

from protocol.recipes import TranscodeRecipe

JPEG = ("-c:v", "mjpeg", "-threads:v", "1", "-q:v", "3", "-fps_mode", "passthrough", "-f", "image2", "-update", "1")
"""Each picture overwrites the one before."""


def stills(recipe: TranscodeRecipe, labels: Sequence[str]) -> list[tuple[str, ...]]:
    """One output for each thumbnail; `labels` are those of the graph, none where the source has no picture."""
    shots = zip(recipe.thumbnails, labels, strict=False)
    return [("-map", f"[{label}]", *JPEG, f"file:{shot.path}") for shot, label in shots]
