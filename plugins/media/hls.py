"""HLS as text: reads a media playlist that FFmpeg wrote, and writes the master playlist that names them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

_SEGMENT = re.compile(r"^#EXTINF:(\d+(?:\.\d+)?),[^\n]*\n(?!#)(\S+)$", re.MULTILINE)
_MAP = re.compile(r'^#EXT-X-MAP:URI="([^"]+)"', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Playlist:
    """A finished media playlist: its segments in order with their lengths in seconds, and the init segment of fMP4."""

    segments: tuple[tuple[str, Fraction], ...]
    init: str | None

    @property
    def duration(self) -> Fraction:
        return sum((length for _, length in self.segments), Fraction(0))

    @property
    def starts(self) -> tuple[Fraction, ...]:
        """When each segment begins."""
        moments, moment = [], Fraction(0)
        for _, length in self.segments:
            moments.append(moment)
            moment += length
        return tuple(moments)


def parse(text: str) -> Playlist | None:
    """The playlist, or None when it is not one or not finished."""
    if not text.startswith("#EXTM3U") or not text.rstrip().endswith("#EXT-X-ENDLIST"):
        return None
    segments = tuple((name, Fraction(length)) for length, name in _SEGMENT.findall(text))
    init = _MAP.search(text)
    return Playlist(segments, init[1] if init else None) if segments else None


def uris(master: str) -> tuple[str, ...]:
    """What a master playlist names: the playlists of its variants, and of the sound beside them."""
    beside = re.findall(r'^#EXT-X-MEDIA:[^\n]*\bURI="([^"]+)"', master, re.MULTILINE)
    variants = re.findall(r"^#EXT-X-STREAM-INF:[^\n]*\n(\S+)$", master, re.MULTILINE)
    return (*beside, *variants)


@dataclass(frozen=True, slots=True)
class Variant:
    """One line of a master playlist. Bandwidths are bits a second: of the largest segment, and over all of them; with the
    largest of what may be played beside it. `groups` are those of other sound and of subtitles, by attribute. `range` is PQ
    or HLG, None for SDR.
    """

    uri: str
    width: int
    height: int
    rate: Fraction
    codecs: str
    peak: int
    average: int
    groups: tuple[tuple[str, str], ...] = ()
    range: str | None = None


@dataclass(frozen=True, slots=True)
class Media:
    """One line of what may be played beside the variants; without a URI it lies in each of them. `name` holds no quotes."""

    kind: str
    group: str
    name: str
    language: str | None = None
    is_default: bool = False
    is_chosen_by_language: bool = True
    is_forced: bool = False
    channels: int | None = None
    uri: str | None = None

    def line(self) -> str:
        """Every one that is to be the default must be one that players may choose themselves (RFC 8216 4.3.4.1)."""
        may_choose = self.is_default or self.is_chosen_by_language
        words = [f"TYPE={self.kind}", f'GROUP-ID="{self.group}"', f'NAME="{self.name}"']
        words += [f'LANGUAGE="{self.language}"'] if self.language else []
        words += [f"DEFAULT={_yes(self.is_default)}", f"AUTOSELECT={_yes(may_choose)}"]
        words += ["FORCED=YES"] if self.is_forced else []
        words += [f'CHANNELS="{self.channels}"'] if self.channels else []
        words += [f'URI="{self.uri}"'] if self.uri else []
        return f"#EXT-X-MEDIA:{','.join(words)}"


def _yes(fact: bool) -> str:
    return "YES" if fact else "NO"


def master(variants: Sequence[Variant], media: Sequence[Media] = ()) -> bytes:
    """The master playlist, smallest bandwidth first: a player begins with the first, and so shows a picture soon."""
    lines = ["#EXTM3U", "#EXT-X-VERSION:6", "#EXT-X-INDEPENDENT-SEGMENTS", *(one.line() for one in media)]
    for variant in sorted(variants, key=lambda one: one.peak):
        shown = f",VIDEO-RANGE={variant.range}" if variant.range else ""
        groups = "".join(f',{kind}="{name}"' for kind, name in variant.groups)
        lines.append(
            f"#EXT-X-STREAM-INF:BANDWIDTH={variant.peak},AVERAGE-BANDWIDTH={variant.average},"
            f"RESOLUTION={variant.width}x{variant.height},FRAME-RATE={float(variant.rate):.3f},"
            f'CODECS="{variant.codecs}"{shown}{groups}'
        )
        lines.append(variant.uri)
    return ("\n".join(lines) + "\n").encode()


def single(uri: str, seconds: Fraction) -> bytes:
    """A media playlist of one segment."""
    lines = ["#EXTM3U", "#EXT-X-VERSION:6", f"#EXT-X-TARGETDURATION:{-(-seconds // 1)}", "#EXT-X-PLAYLIST-TYPE:VOD"]
    return ("\n".join([*lines, f"#EXTINF:{float(seconds):.6f},", uri, "#EXT-X-ENDLIST"]) + "\n").encode()


def bandwidths(playlist: Playlist, sizes: Sequence[int]) -> tuple[int, int]:
    """Peak and average in bits a second, from the measured size of each segment."""
    rates = [size * 8 / length for size, (_, length) in zip(sizes, playlist.segments, strict=True) if length > 0]
    return -(-max(rates) // 1), -(-sum(sizes) * 8 // playlist.duration)


def relative(target: str, start: str) -> str:
    """`target` as seen from the file `start`; both are relative paths below one root."""
    there, here = target.split("/"), start.split("/")[:-1]
    shared = 0
    while shared < min(len(there) - 1, len(here)) and there[shared] == here[shared]:
        shared += 1
    return "/".join([".."] * (len(here) - shared) + there[shared:])
