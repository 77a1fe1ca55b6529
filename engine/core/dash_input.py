"""DASH manifests as inputs: the best picture and its sound, each as a list of pieces. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException, ElementTree

from engine.core.fetching import Span
from engine.core.tracks import MOST_PIECES, Piece, Track, joined, refused

MOST_DIGITS = 18
ROUNDED_S = Fraction(1, 2)
"""Manifests tell their duration rounded up, some to whole tenths or more."""

_DURATION = re.compile(r"P(?:([0-9]{1,6})D)?(?:T(?:([0-9]{1,7})H)?(?:([0-9]{1,8})M)?(?:([0-9]{1,9}(?:\.[0-9]{1,9})?)S)?)?")
_RANGE = re.compile(rf"([0-9]{{1,{MOST_DIGITS}}})-([0-9]{{1,{MOST_DIGITS}}})")
_FIELD = re.compile(r"\$(?:(RepresentationID|Bandwidth|Number|Time)(?:%0([0-9]{1,2})d)?)?\$")
_NUMBER = re.compile(rf"[0-9]{{1,{MOST_DIGITS}}}")
_Value = Callable[[str], str | None]
"""An attribute of a template, from the innermost element that has it."""


@dataclass(frozen=True, slots=True)
class _Level:
    """An element with those around it, outermost first: attributes and segment descriptions are inherited inwards."""

    around: tuple[Element, ...]
    base: str
    seconds: Fraction | None

    @property
    def here(self) -> Element:
        return self.around[-1]

    def inner(self, element: Element) -> _Level:
        base = element.findtext("{*}BaseURL")
        return replace(self, around=(*self.around, element), base=joined(self.base, base.strip()) if base else self.base)

    def attribute(self, name: str) -> str | None:
        return next((value for element in reversed(self.around) if (value := element.get(name)) is not None), None)

    def described(self, name: str) -> list[Element]:
        """The elements of this name, innermost first."""
        found = (element.find(f"{{*}}{name}") for element in reversed(self.around))
        return [element for element in found if element is not None]

    @property
    def kind(self) -> str:
        return (self.attribute("contentType") or self.attribute("mimeType") or "").split("/", 1)[0]


def read(text: bytes, url: str) -> tuple[Track, ...]:
    """One track, or picture and sound. Raises InputFailed for a manifest that cannot become a file."""
    try:
        mpd = ElementTree.fromstring(text, forbid_dtd=True)
    except (DefusedXmlException, ParseError, ValueError, LookupError):
        raise refused("the manifest is not plain XML") from None
    if mpd.tag.rsplit("}", 1)[-1] != "MPD":
        raise refused("the manifest is no MPD")
    if mpd.get("type", "static") != "static":
        raise refused("the manifest is live (type=dynamic)")
    if mpd.find(".//{*}ContentProtection") is not None:
        raise refused("the media is protected by DRM")
    periods = mpd.findall("{*}Period")
    if len(periods) != 1 or any(name.endswith("}href") for name in periods[0].keys()):  # noqa: SIM118 - no mapping
        raise refused("a manifest of several periods, or of one that lies elsewhere, is not read")
    seconds = _seconds(periods[0].get("duration") or mpd.get("mediaPresentationDuration"))
    period = _Level((), url, seconds).inner(mpd).inner(periods[0])
    picture, sound = _best(period, "video"), _best(period, "audio")
    tracks = tuple(_track(level) for level in (picture, sound) if level is not None)
    if not tracks:
        raise refused("the manifest has neither picture nor sound")
    return tracks


def _best(period: _Level, kind: str) -> _Level | None:
    """The largest picture, and of several the highest bandwidth; sound of the main role before any other."""
    choices = []
    for element in period.here.findall("{*}AdaptationSet"):
        adaptation = period.inner(element)
        role = element.find("{*}Role")
        is_main = role is None or role.get("value") == "main"
        for representation in element.findall("{*}Representation"):
            level = adaptation.inner(representation)
            if level.kind == kind:
                pixels = _whole(level.attribute("width") or "0") * _whole(level.attribute("height") or "0")
                choices.append(((is_main, pixels, _whole(representation.get("bandwidth") or "0")), level))
    return max(choices, key=lambda choice: choice[0])[1] if choices else None


def _track(level: _Level) -> Track:
    templates, lists = level.described("SegmentTemplate"), level.described("SegmentList")
    if templates:
        pieces = _of_template(level, templates)
    elif lists:
        pieces = _of_list(level, lists)
    else:
        pieces = [Piece(level.base)]
    if not pieces or len(pieces) > MOST_PIECES:
        raise refused(f"the manifest has no segments, or more than {MOST_PIECES}")
    return Track(tuple(pieces), _ending(level.attribute("mimeType") or ""))


def _ending(mime_type: str) -> str:
    return {"webm": "webm", "mp2t": "ts"}.get(mime_type.rsplit("/", 1)[-1], "mp4")


# --- lists


def _of_list(level: _Level, lists: list[Element]) -> list[Piece]:
    segments = next((several for each in lists if (several := each.findall("{*}SegmentURL"))), [])
    init = next((one for each in lists if (one := each.find("{*}Initialization")) is not None), None)
    pieces = [] if init is None else [_listed(level, init.get("sourceURL"), init.get("range"))]
    return [*pieces, *(_listed(level, s.get("media"), s.get("mediaRange")) for s in segments[: MOST_PIECES + 1])]


def _listed(level: _Level, media: str | None, span: str | None) -> Piece:
    url = joined(level.base, media) if media else level.base
    return Piece(url, None if span is None else _span(span))


def _span(text: str) -> Span:
    found = _RANGE.fullmatch(text)
    if found is None or int(found[2]) < int(found[1]):
        raise refused("the manifest has a malformed range")
    return Span(int(found[1]), int(found[2]) - int(found[1]) + 1)


# --- templates


def _of_template(level: _Level, templates: list[Element]) -> list[Piece]:
    def value(name: str) -> str | None:
        return next((found for each in templates if (found := each.get(name)) is not None), None)

    media, init = value("media"), value("initialization")
    if media is None:
        raise refused("the manifest has a SegmentTemplate without media")
    start = _whole(value("startNumber") or "1")
    timeline = next((found for each in templates if (found := each.find("{*}SegmentTimeline")) is not None), None)
    times = _timeline(level, timeline, value) if timeline is not None else _even(level, value)
    pieces = [] if init is None else [Piece(joined(level.base, _filled(level, init, None, None)))]
    for number, time in enumerate(times, start):
        if len(pieces) > MOST_PIECES:
            break
        is_optional = timeline is None and bool(pieces) and _is_rounding(level, value, time)
        pieces.append(Piece(joined(level.base, _filled(level, media, number, time)), is_optional=is_optional))
    return pieces


def _timeline(level: _Level, timeline: Element, value: _Value) -> Iterator[int]:
    """When each segment starts, in the template's timescale. `r` repeats; -1 does so to the end of the period."""
    time, end = 0, _end(level, value)
    for entry in timeline.findall("{*}S"):
        time = _whole(entry.get("t") or str(time))
        duration, repeats = _whole(entry.get("d") or "0"), entry.get("r") or "0"
        if duration == 0:
            raise refused("the manifest has a segment without duration")
        if repeats == "-1":
            if end is None:
                raise refused("the manifest does not tell how long it is")
            count = max(0, -int((time - end) // duration))
        else:
            count = 1 + _whole(repeats)
        yield from range(time, time + _few(count) * duration, duration)
        time += count * duration


def _even(level: _Level, value: _Value) -> Iterator[int]:
    duration = _whole(value("duration") or "0")
    if duration == 0 or level.seconds is None:
        raise refused("the manifest does not tell how many segments there are")
    yield from range(0, _few(-int(-_ticks(level, value) // duration)) * duration, duration)


def _few(count: int) -> int:
    if count > MOST_PIECES:
        raise refused(f"the manifest has more than {MOST_PIECES} segments")
    return count


def _is_rounding(level: _Level, value: _Value, time: int) -> bool:
    """Whether the segment begins so near the end that it may be there only because the duration was rounded up."""
    return level.seconds is not None and _ticks(level, value) - time <= ROUNDED_S * _whole(value("timescale") or "1")


def _ticks(level: _Level, value: _Value) -> Fraction:
    """The length of the period in the template's timescale."""
    return (level.seconds or Fraction(0)) * _whole(value("timescale") or "1")


def _end(level: _Level, value: _Value) -> Fraction | None:
    """Where the period ends on the timeline of its segments."""
    return None if level.seconds is None else _ticks(level, value) + _whole(value("presentationTimeOffset") or "0")


def _filled(level: _Level, template: str, number: int | None, time: int | None) -> str:
    fields = {"RepresentationID": level.here.get("id", ""), "Bandwidth": level.here.get("bandwidth", "0")}
    fields |= {"Number": str(number)} if number is not None else {}
    fields |= {"Time": str(time)} if time is not None else {}

    def filled(found: re.Match[str]) -> str:
        name, width = found[1], found[2]
        if name is None:
            return "$"
        if name not in fields:
            raise refused(f"the manifest uses ${name}$ where it means nothing")
        return fields[name].zfill(int(width)) if width else fields[name]

    return _FIELD.sub(filled, template)


def _whole(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise refused("the manifest has a malformed number")
    return int(text)


def _seconds(text: str | None) -> Fraction | None:
    if text is None:
        return None
    found = _DURATION.fullmatch(text)
    if found is None:
        raise refused("the manifest has a malformed duration")
    days, hours, minutes, seconds = (Fraction(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
