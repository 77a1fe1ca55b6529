"""A media playlist as FFmpeg wrote it, held against the segments that lie beside it."""

from __future__ import annotations

from collections.abc import Mapping

from plugins.media import hls
from plugins.media.rejected import Rejected
from protocol.errors import ErrorCode
from protocol.packaging import SegmentFormat
from protocol.plugins import Outcome
from protocol.recipes import TranscodeRecipe

PLAYLIST = "playlist"
"""What the check is called that reads one."""


def written(
    recipe: TranscodeRecipe, path: str, outcomes: Mapping[str, Outcome], sizes: Mapping[str, int], step: str | None
) -> tuple[hls.Playlist, tuple[int, ...]]:
    """The playlist and the bytes of its segments: exactly those that lie beside it, none of them empty. Raises Rejected."""
    outcome = outcomes.get(f"{PLAYLIST}:{path}")
    playlist = hls.parse(outcome.stdout.decode("utf-8", "replace")) if outcome else None
    if playlist is None:
        raise Rejected(ErrorCode.OUTPUT_INVALID, f"{path} is not a finished playlist.", step)
    directory = path.rpartition("/")[0]
    named = [f"{directory}/{name}" for name, _ in playlist.segments]
    init = [f"{directory}/{playlist.init}"] if playlist.init else []
    is_fragmented = recipe.hls is not None and recipe.hls.format is SegmentFormat.FMP4
    beside = {name for name in sizes if name.startswith(f"{directory}/")}
    if beside != {path, *named, *init} or len(set(named)) != len(named) or bool(init) != is_fragmented:
        raise Rejected(ErrorCode.OUTPUT_INVALID, f"{path} does not name the segments that were written.", step)
    if not all(sizes[name] for name in (*named, *init)):
        raise Rejected(ErrorCode.OUTPUT_INVALID, f"A segment of {path} is empty.", step)
    return playlist, tuple(sizes[name] for name in named)
