"""What players see of a live stream: which finished segments go up next, and what the sliding playlists say. Pure.

The tool lists every segment it has finished in one growing playlist for each rendition; segments are known by their number
there, which is their media sequence number. A playlist names nothing that is not uploaded, and all renditions end with the
same number, so that a player that changes over finds its place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil

from engine.core.avc import picture_of
from protocol.profiles import Rendition

_SEGMENT = re.compile(r"^#EXTINF:(\d+(?:\.\d+)?),[^\n]*\n(?!#)(\S+)$", re.MULTILINE)
_SOUND_IN_MAP = re.compile(rb"\x1b[\xe0-\xff].\xf0\x00\x0f[\xe0-\xff].\xf0", re.DOTALL)
MAP_WITHIN = 2048
"""The map stands in the first packets of every segment."""

SOUND_CODEC = "mp4a.40.2"
HEADROOM = 2
"""How much larger than its first segment a stream without a cap is said to become."""

LEAST_LOSS_S, LOSS_SHARE = 1.0, 0.01
"""Seconds, and of what came in: frames before the first that decodes, and after the last, may be missing."""

OVERHEAD = 1.1
"""Of a transport stream over what it carries."""

MASTER, PLAYLIST = "master.m3u8", "playlist.m3u8"


@dataclass(frozen=True, slots=True)
class Segment:
    """`seconds` as the tool wrote it."""

    name: str
    seconds: str


def listed(text: str) -> tuple[Segment, ...]:
    """The finished segments of a playlist that still grows, or has ended. A line without its end is not there yet."""
    whole = text if text.endswith("\n") else text[: text.rfind("\n") + 1]
    return tuple(Segment(name, seconds) for seconds, name in _SEGMENT.findall(whole))


def length_of(segments: Sequence[Segment]) -> Fraction:
    return sum((Fraction(segment.seconds) for segment in segments), Fraction(0))


def shortfall(received: float, recorded: Fraction) -> str | None:
    """What a client should know where the recording, in seconds, is clearly shorter than what came in; None where it is not."""
    if received - recorded <= max(LEAST_LOSS_S, LOSS_SHARE * received):
        return None
    return f"{received:.1f} s came in, and {float(recorded):.1f} s of it could be recorded."


@dataclass(frozen=True, slots=True)
class Due:
    """A segment to be uploaded: `number` of `rendition`."""

    rendition: str
    number: int
    name: str


@dataclass(slots=True)
class Window:
    """`size` segments at most are named at a time; `seconds` is how long one is asked to be."""

    renditions: tuple[str, ...]
    size: int
    seconds: int
    _segments: dict[str, tuple[Segment, ...]] = field(default_factory=dict)
    _uploaded: dict[str, set[int]] = field(default_factory=dict)

    def seen(self, playlists: Mapping[str, tuple[Segment, ...]]) -> tuple[Due, ...]:
        """What to upload now, oldest first. What has left the window before it could go up is left out.

        A list that is shorter than before is one that is just being written: the longer one holds.
        """
        for name, segments in playlists.items():
            if len(segments) > len(self._segments.get(name, ())):
                self._segments[name] = segments
        due = [
            Due(name, number, segment.name)
            for name in self.renditions
            for number, segment in enumerate(self._segments.get(name, ()))
            if number >= self._first_wanted and number not in self._uploaded.get(name, ())
        ]
        return tuple(sorted(due, key=lambda one: (one.number, self.renditions.index(one.rendition))))

    @property
    def _first_wanted(self) -> int:
        return max(0, min(len(self._segments.get(name, ())) for name in self.renditions) - self.size)

    def uploaded(self, due: Due) -> None:
        self._uploaded.setdefault(due.rendition, set()).add(due.number)

    @property
    def is_shown(self) -> bool:
        """Whether there is something to play of every rendition."""
        return self._end is not None

    @property
    def _end(self) -> int | None:
        """The last number that all renditions have up."""
        common = set.intersection(*(self._uploaded.get(name, set()) for name in self.renditions))
        return max(common, default=None)

    def playlist(self, rendition: str, *, is_over: bool = False) -> bytes:
        """Only once something `is_shown`."""
        end, up, segments = self._end or 0, self._uploaded[rendition], self._segments[rendition]
        first = end
        while first - 1 in up and end - first + 1 < self.size:
            first -= 1
        lines = ["#EXTM3U", "#EXT-X-VERSION:6", f"#EXT-X-TARGETDURATION:{self._target(segments)}"]
        lines += [f"#EXT-X-MEDIA-SEQUENCE:{first}", "#EXT-X-INDEPENDENT-SEGMENTS"]
        for segment in segments[first : end + 1]:
            lines += [f"#EXTINF:{segment.seconds},", segment.name]
        return "\n".join([*lines, *(["#EXT-X-ENDLIST"] if is_over else []), ""]).encode()

    def _target(self, segments: Sequence[Segment]) -> int:
        """The same all along: keyframes are forced at every multiple, so no segment becomes longer."""
        return max(self.seconds, *(round(Fraction(segment.seconds)) for segment in segments))


@dataclass(frozen=True, slots=True)
class Shown:
    """A rendition in the master playlist. `cap` is the most bits a second it may spend, None where nothing caps it.

    `first` are the bytes of its first segment, `seconds` its length.
    """

    name: str
    cap: int | None
    first: bytes
    seconds: str


def master(shown: Sequence[Shown]) -> bytes:
    """Smallest first: a player begins with the first, and so shows a picture soon."""
    lines = ["#EXTM3U", "#EXT-X-VERSION:6", "#EXT-X-INDEPENDENT-SEGMENTS"]
    for one in sorted(shown, key=_bandwidth):
        picture, sound = picture_of(one.first), f",{SOUND_CODEC}" if has_sound(one.first) else ""
        told = "" if picture is None else f',RESOLUTION={picture.width}x{picture.height},CODECS="{picture.codec}{sound}"'
        lines += [f"#EXT-X-STREAM-INF:BANDWIDTH={_bandwidth(one)}{told}", f"{one.name}/{PLAYLIST}"]
    return "\n".join([*lines, ""]).encode()


def most_bitrate(rendition: Rendition, segment_seconds: int) -> int | None:
    """What a segment can come to where the encoder is capped: the cap, and all its buffer holds besides; and the sound."""
    cap = rendition.max_bitrate or rendition.bitrate
    if cap is None:
        return None
    picture = cap * (1 + rendition.buffer_seconds / segment_seconds)
    return round((picture + rendition.audio.bitrate) * OVERHEAD)


def _bandwidth(one: Shown) -> int:
    measured = ceil(len(one.first) * 8 / max(Fraction(one.seconds), Fraction(1, 10)))
    return max(measured, one.cap) if one.cap is not None else HEADROOM * measured


def has_sound(segment: bytes) -> bool:
    """Whether the transport stream's map names AAC (ISO/IEC 13818-1, 2.4.4.8), as FFmpeg writes it: after the picture."""
    return _SOUND_IN_MAP.search(segment[:MAP_WITHIN]) is not None
