"""A DASH manifest as the packager writes it: which files it names, how long each track is, and where it stands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

_NS = {"m": "urn:mpeg:dash:schema:mpd:2011"}
_NUMBER = re.compile(r"\$Number%0(\d)d\$")
_DURATION = re.compile(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?")
_HEAD = re.compile(r"<MPD\b[^>]*>")


@dataclass(frozen=True, slots=True)
class Representation:
    """One track: its init file, its segments in order, and their length together in seconds."""

    init: str
    segments: tuple[str, ...]
    duration: Fraction


@dataclass(frozen=True, slots=True)
class Manifest:
    """A finished manifest; `duration` in seconds is what it tells of the whole."""

    representations: tuple[Representation, ...]
    duration: Fraction


def parse(text: str) -> Manifest | None:
    """The manifest, or None when it is none, not finished, or names its segments otherwise than by numbers and a timeline."""
    try:
        root: Element = fromstring(text)
    except (ParseError, DefusedXmlException):
        return None
    told = _DURATION.fullmatch(root.get("mediaPresentationDuration", ""))
    found = [_representation(one) for one in root.iterfind(".//m:Representation", _NS)]
    whole = tuple(one for one in found if one is not None)
    if root.get("type") != "static" or told is None or not whole or len(whole) != len(found):
        return None
    hours, minutes, seconds = (Fraction(part or 0) for part in told.groups())
    return Manifest(whole, hours * 3600 + minutes * 60 + seconds)


def _representation(node: Element) -> Representation | None:
    template = node.find("m:SegmentTemplate", _NS)
    timeline = None if template is None else template.find("m:SegmentTimeline", _NS)
    if template is None or timeline is None:
        return None
    init, media = template.get("initialization", ""), template.get("media", "")
    number = _NUMBER.search(media)
    scale, first = _whole(template.get("timescale")), _whole(template.get("startNumber"))
    if not init or number is None or not scale or first is None:
        return None
    lengths = [_whole(entry.get("d")) or 0 for entry in timeline for _ in range((_whole(entry.get("r")) or 0) + 1)]
    digits = int(number[1])
    names = tuple(_NUMBER.sub(f"{first + n:0{digits}d}", media) for n in range(len(lengths)))
    return Representation(init, names, Fraction(sum(lengths), scale))


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None


def placed(text: str, path: str) -> bytes:
    """The manifest for `path`, told where its files are: they are named from the top, so many directories up."""
    up = "../" * path.count("/")
    base = f"\n  <BaseURL>{up}</BaseURL>" if up else ""
    return _HEAD.sub(lambda head: f"{head[0]}{base}", text, count=1).encode()
