"""Where an encode's packets go besides its MP4: the HLS of the picture with the default track, and of the other tracks alone.

All of it through one `tee`: nothing is encoded twice.
"""

from __future__ import annotations

from plugins.media.groups import START, has_groups
from plugins.media.soundtracks import heard, host, own_playlists
from protocol.packaging import HlsPackaging, SegmentFormat
from protocol.recipes import PlannedRendition, TranscodeRecipe

INIT_SEGMENT = "init.mp4"
TRUE_TIMES = "movflags=+frag_discont"
"""Fragments that tell when they are shown. Else each track's begin at 0, and lists of edits, which browsers pass over, tell
by how much its frames are early or late: sound would run some hundredths of a second before its picture.
"""


def targets(recipe: TranscodeRecipe, planned: PlannedRendition) -> str:
    """The text of `-f tee` for a rendition with a playlist. Names need no escaping: paths of a recipe hold only letters,
    digits and `._-/%`.
    """
    branches = [f"[f=mp4:movflags=+faststart]file:{planned.path}"]
    if recipe.hls is not None and planned.playlist and planned.segments:
        beside = [f"a:{track.place}" for track in heard(recipe) if track.planned.playlist is None]
        only = _only("v:0", *beside) if own_playlists(recipe) else ""
        branches.append(_hls(recipe, recipe.hls, planned.playlist, planned.segments, only))
    if recipe.hls is not None and host(recipe) == planned:
        for track in own_playlists(recipe):
            playlist, segments = track.planned.playlist or "", track.planned.segments or ""
            branches.append(_hls(recipe, recipe.hls, playlist, segments, _only(f"a:{track.place}")))
    return "|".join(branches)


def _only(*streams: str) -> str:
    """Which of the encode's streams a branch takes. Quoted, since a colon ends an option."""
    return f"select=\\'{','.join(streams)}\\':"


def _hls(recipe: TranscodeRecipe, hls: HlsPackaging, playlist: str, segments: str, only: str) -> str:
    """Playlists that are played together begin at one moment: each muxer would shift its own else, until none is negative."""
    options = [f"hls_time={hls.segment_seconds}", "hls_list_size=0", "hls_playlist_type=vod", "hls_flags=independent_segments"]
    if hls.format is SegmentFormat.FMP4:
        options += ["hls_segment_type=fmp4", f"hls_fmp4_init_filename={INIT_SEGMENT}", f"hls_segment_options={TRUE_TIMES}"]
    if has_groups(recipe):
        options.append(f"output_ts_offset={START}")
    return f"[f=hls:{only}{':'.join(options)}:hls_segment_filename={segments}]file:{playlist}"
