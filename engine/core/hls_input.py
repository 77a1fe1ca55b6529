"""HLS playlists as inputs: the best variant of a master playlist, the pieces of a media playlist. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from m3u8 import parser

from engine.core.fetching import Span
from engine.core.tracks import MOST_PIECES, Key, Piece, Track, joined, refused

MAX_LINE, MOST_TAGS = 16 << 10, 1000
MOST_VARIANTS = 1000
Tags = Mapping[str, Any]  # what the m3u8 library makes of a playlist: dicts and lists of strings, ints, floats, bools

# What the library raises for playlists that are none; it has no one error for them.
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError)


@dataclass(frozen=True, slots=True)
class Choice:
    """What to fetch of a master playlist: the best variant, and its sound where that comes apart."""

    variant: str
    audio: str | None


def read(text: str, url: str) -> Choice | Track:
    """The playlist found at `url`. Raises InputFailed for one that cannot become a file."""
    _check_size(text)
    try:
        tags = parser.parse(text, custom_tags_parser=_note_key_of_map)
        return _choose(tags, url) if tags["is_variant"] else _track(tags, url)
    except UNREADABLE:
        raise refused("the playlist is malformed") from None


def _check_size(text: str) -> None:
    """Before the library sees it: some of its lists are searched for every tag."""
    if text.count("#EXTINF") > MOST_PIECES:
        raise refused(f"the playlist has more than {MOST_PIECES} segments")
    rare = ("#EXT-X-KEY", "#EXT-X-MAP", "#EXT-X-MEDIA:", "#EXT-X-STREAM-INF", "#EXT-X-SESSION", "#EXT-X-PART:")
    if any(text.count(tag) > MOST_TAGS for tag in rare):
        raise refused(f"the playlist has more than {MOST_TAGS} keys, renditions or parts")
    if any(len(line) > MAX_LINE for line in text.splitlines()):
        raise refused(f"the playlist has a line of more than {MAX_LINE} characters")
    if "#EXT-X-DEFINE" in text:
        raise refused("playlists with variables (EXT-X-DEFINE) are not read")


def _note_key_of_map(line: str, number: int, tags: dict[str, Any], state: Mapping[str, Any]) -> bool:
    """The key that stands before EXT-X-MAP is that of the initialization section; the library forgets it."""
    if line.startswith("#EXT-X-MAP"):
        tags.setdefault("key_of_map", state["current_key"])
    return False


# --- master playlists


def _choose(tags: Tags, url: str) -> Choice:
    """The largest picture, and of several the highest bandwidth."""
    variants = [v for v in tags["playlists"] if v.get("uri")]
    if not variants:
        raise refused("the master playlist names no variant")
    best = max(variants, key=lambda variant: _rank(variant["stream_info"]))
    audio = _audio_of(tags["media"], best["stream_info"].get("audio"))
    return Choice(joined(url, best["uri"]), None if audio is None else joined(url, audio))


def _rank(stream: Tags) -> tuple[int, int]:
    width, _, height = str(stream.get("resolution", "0x0")).lower().partition("x")
    return int(width) * int(height), int(stream.get("bandwidth", 0))


def _audio_of(media: Sequence[Tags], group: str | None) -> str | None:
    """The rendition a player would take first; None where it is muxed into the variant."""
    if group is None:
        return None
    choices = [m for m in media if m.get("type") == "AUDIO" and m.get("group_id") == group]
    if not choices:
        return None
    best = max(choices, key=lambda m: (m.get("default") == "YES", m.get("autoselect") == "YES"))
    uri = best.get("uri")
    return None if uri is None else str(uri)


# --- media playlists


def _track(tags: Tags, url: str) -> Track:
    segments = tags["segments"]
    if not tags["is_endlist"]:
        raise refused("the playlist is live: it has no EXT-X-ENDLIST")
    if tags["is_i_frames_only"] or tags["is_images_only"]:
        raise refused("the playlist holds single pictures only")
    if not segments or not all(segment.get("uri") for segment in segments):
        raise refused("the playlist names no segments")
    if any(segment["discontinuity"] for segment in segments[1:]):
        raise refused("the playlist has a discontinuity (EXT-X-DISCONTINUITY): its parts are not one film")
    if any(segment.get("gap_tag") for segment in segments):
        raise refused("the playlist has gaps (EXT-X-GAP)")
    init = _init_piece(tags, url)
    pieces = _pieces(segments, url, int(tags["media_sequence"] or 0))
    return Track((*init, *pieces), "mp4" if init else _ending(segments))


def _ending(segments: Sequence[Tags]) -> str:
    path = str(segments[0]["uri"]).split("?", 1)[0].lower()
    return next((ending for ending in ("aac", "mp3", "ac3") if path.endswith(f".{ending}")), "ts")


def _init_piece(tags: Tags, url: str) -> list[Piece]:
    sections = [segment.get("init_section") for segment in tags["segments"]]
    first = sections[0]
    if any(section != first for section in sections):
        raise refused("the initialization section changes in the middle of the playlist")
    if first is None:
        return []
    key = _key(tags.get("key_of_map"), url, None)
    return [Piece(joined(url, first["uri"]), _span(first.get("byterange"), 0), key)]


def _pieces(segments: Sequence[Tags], url: str, sequence: int) -> list[Piece]:
    made = []
    followed: tuple[str, int] | None = None
    for number, segment in enumerate(segments, sequence):
        place = joined(url, segment["uri"])
        after = followed[1] if followed is not None and followed[0] == place else 0
        span = _span(segment.get("byterange"), after)
        followed = None if span is None else (place, span.start + span.length)
        made.append(Piece(place, span, _key(segment.get("key"), url, number)))
    return made


def _span(byterange: str | None, after: int) -> Span | None:
    """`length[@start]`; without a start it follows the span before."""
    if not byterange:
        return None
    length, _, start = byterange.partition("@")
    span = Span(int(start) if start else after, int(length))
    if span.start < 0 or span.length <= 0:
        raise refused("the playlist has a malformed EXT-X-BYTERANGE")
    return span


def _key(key: Tags | None, url: str, number: int | None) -> Key | None:
    """RFC 8216, 5.2: without IV the segment's number is the vector; an initialization section has to have one."""
    if key is None or key.get("method") == "NONE":
        return None
    if key.get("method") != "AES-128" or key.get("keyformat", "identity") != "identity" or not key.get("uri"):
        raise refused("the media is protected by DRM, or encrypted otherwise than with AES-128")
    told = key.get("iv")
    if told is None and number is None:
        raise refused("the initialization section is encrypted without an IV")
    iv = (number or 0).to_bytes(16, "big") if told is None else int(str(told), 16).to_bytes(16, "big")
    return Key(joined(url, str(key["uri"])), iv)
