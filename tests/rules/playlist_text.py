"""Playlists as RFC 8216 spells them: lines, tags, attribute lists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

MASTER_TAGS = frozenset(
    {"EXT-X-MEDIA", "EXT-X-STREAM-INF", "EXT-X-I-FRAME-STREAM-INF", "EXT-X-SESSION-DATA", "EXT-X-SESSION-KEY"}
)
MEDIA_TAGS = frozenset(
    {
        *("EXTINF", "EXT-X-BYTERANGE", "EXT-X-DISCONTINUITY", "EXT-X-KEY", "EXT-X-MAP", "EXT-X-PROGRAM-DATE-TIME"),
        *("EXT-X-DATERANGE", "EXT-X-TARGETDURATION", "EXT-X-MEDIA-SEQUENCE", "EXT-X-DISCONTINUITY-SEQUENCE"),
        *("EXT-X-ENDLIST", "EXT-X-PLAYLIST-TYPE", "EXT-X-I-FRAMES-ONLY"),
    }
)
COMMON_TAGS = frozenset({"EXTM3U", "EXT-X-VERSION", "EXT-X-INDEPENDENT-SEGMENTS", "EXT-X-START"})
ONCE = frozenset(
    {
        *("EXTM3U", "EXT-X-VERSION", "EXT-X-INDEPENDENT-SEGMENTS", "EXT-X-START", "EXT-X-TARGETDURATION"),
        *("EXT-X-MEDIA-SEQUENCE", "EXT-X-DISCONTINUITY-SEQUENCE", "EXT-X-ENDLIST", "EXT-X-PLAYLIST-TYPE"),
    }
)

_ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"\r\n]*"|[^",\s]+)(?:,|$)')

Attributes = dict[str, str]


@dataclass(frozen=True, slots=True)
class Line:
    """A tag with its value, or a URI: its `tag` is empty. `pairs` are the value's attributes, quoted ones with their quotes."""

    tag: str
    value: str

    @property
    def pairs(self) -> Attributes:
        return dict(_ATTRIBUTE.findall(self.value))

    @property
    def is_list(self) -> bool:
        """Whether the value is an attribute list, each name once."""
        found = _ATTRIBUTE.findall(self.value)
        return "".join(m[0] for m in _ATTRIBUTE.finditer(self.value)) == self.value and len(dict(found)) == len(found)


def unquoted(text: str | None) -> str:
    return (text or "").strip('"')


def lines_of(text: str) -> Iterator[Line]:
    for line in text.splitlines():
        if line.startswith("#EXT"):
            tag, _, value = line[1:].partition(":")
            yield Line(tag, value)
        elif line.strip() and not line.startswith("#"):
            yield Line("", line)


@dataclass(frozen=True, slots=True)
class Entry:
    """A segment with what stands above it: `key` is the last EXT-X-KEY of each KEYFORMAT, None in the clear."""

    uri: str
    seconds: Fraction | None
    number: int
    map: Attributes | None
    key: Attributes | None
    is_break: bool


@dataclass(frozen=True, slots=True)
class MediaText:
    """A media playlist, taken apart; what is missing is None or empty."""

    lines: tuple[Line, ...]
    entries: tuple[Entry, ...]
    target: int | None
    version: int
    first: int = 0
    tags: frozenset[str] = field(default=frozenset())


def media_of(text: str) -> MediaText:
    lines = tuple(lines_of(text))
    told = {line.tag: line.value for line in lines}
    first = _whole(told.get("EXT-X-MEDIA-SEQUENCE")) or 0
    entries: list[Entry] = []
    seconds, mapped, key, is_break = None, None, None, False
    for line in lines:
        match line.tag:
            case "EXTINF":
                seconds = _seconds(line.value.partition(",")[0])
            case "EXT-X-MAP":
                mapped = line.pairs
            case "EXT-X-KEY":
                key = None if line.pairs.get("METHOD") == "NONE" else line.pairs
            case "EXT-X-DISCONTINUITY":
                is_break = True
            case "":
                entries.append(Entry(line.value, seconds, first + len(entries), mapped, key, is_break))
                seconds, is_break = None, False
    return MediaText(
        lines=lines,
        entries=tuple(entries),
        target=_whole(told.get("EXT-X-TARGETDURATION")),
        version=_whole(told.get("EXT-X-VERSION")) or 1,
        first=first,
        tags=frozenset(told),
    )


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"\d{1,20}", text) else None


def _seconds(text: str) -> Fraction | None:
    return Fraction(text) if re.fullmatch(r"\d{1,9}(\.\d{1,12})?", text) else None
