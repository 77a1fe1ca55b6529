"""The rules of ISO/IEC 23009-1 for a manifest with segments by template, and what the segments themselves say."""

from __future__ import annotations

import base64
import binascii
import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from uuid import UUID
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from tests.rules import Files
from tests.rules.boxes import Fragment, Init, Malformed, fragment_of, init_of, pssh_system

MPD = "{urn:mpeg:dash:schema:mpd:2011}"
CENC = "{urn:mpeg:cenc:2013}"
MP4_PROTECTION = "urn:mpeg:dash:mp4protection:2011"

PROFILES = re.compile(r"urn:(mpeg:dash:profile:(full|isoff-(on-demand|live|main|ext-live|ext-on-demand)):\d{4}|[a-z]+:.+)")
SLACK_S = Fraction(1, 2)
"""How much shorter than the film a track may be: sound ends where it ends."""

_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")
_NUMBER = re.compile(r"\$(Number|Time)(?:%0(\d+)d)?\$")
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")


@dataclass(frozen=True, slots=True)
class Cut:
    """A segment as the timeline says: its file, and when, in the template's ticks."""

    path: str
    start: int
    duration: int


@dataclass(frozen=True, slots=True)
class Track:
    """A Representation with what it takes from its AdaptationSet, and its template as numbers."""

    node: Element
    parent: Element
    init: str | None
    timescale: int
    offset: int
    cuts: tuple[Cut, ...]

    def get(self, name: str) -> str | None:
        return self.node.get(name, self.parent.get(name))

    def each(self, name: str) -> list[Element]:
        return [*self.node.findall(MPD + name), *self.parent.findall(MPD + name)]

    @property
    def name(self) -> str:
        return f"Representation {self.node.get('id')}"

    @property
    def kind(self) -> str:
        return self.get("contentType") or (self.get("mimeType") or "").partition("/")[0]


def broken(files: Files, manifest: str = "dash/manifest.mpd", *, live: bool = False) -> list[str]:
    """What is wrong with a manifest and all it names; `live` for one that still goes on."""
    if manifest not in files:
        return [f"{manifest}: is not there"]
    try:
        root: Element = fromstring(files[manifest].decode("utf-8"))
    except (ParseError, DefusedXmlException, UnicodeDecodeError) as wrong:
        return [f"{manifest}: is no XML: {wrong}"]
    if root.tag != f"{MPD}MPD":
        return [f"{manifest}: is no MPD"]
    faults = [*_head(root, live=live), *_ids(root)]
    for parent in root.iter(f"{MPD}AdaptationSet"):
        tracks = [_track(node, parent, _base(root, node, parent, manifest)) for node in parent.findall(f"{MPD}Representation")]
        whole = [track for track in tracks if track is not None]
        if len(whole) < len(tracks):
            faults.append("a Representation has no SegmentTemplate with numbers or times and a timeline")
        faults += _together(parent, whole)
        for track in whole:
            faults += [
                f"{track.name} {fault}" for fault in (*_described(track), *_timeline(track, root, live), *_files(track, files))
            ]
            faults += [f"{track.name} {fault}" for fault in _burst(track, root, files)]
    return [f"{manifest}: {fault}" for fault in faults]


def _base(root: Element, node: Element, parent: Element, manifest: str) -> str:
    """The directory that names are below: BaseURLs one in the other, from the manifest's own."""
    period = next((period for period in root.iter(f"{MPD}Period") if parent in list(period)), root)
    directory = posixpath.dirname(manifest)
    for level in (root, period, parent, node):
        directory = posixpath.join(directory, level.findtext(f"{MPD}BaseURL") or "")
    return directory


def _track(node: Element, parent: Element, base: str) -> Track | None:
    template = node.find(f"{MPD}SegmentTemplate")
    template = template if template is not None else parent.find(f"{MPD}SegmentTemplate")
    timeline = template.find(f"{MPD}SegmentTimeline") if template is not None else None
    if template is None or timeline is None or not _NUMBER.search(template.get("media", "")):
        return None
    cuts: list[Cut] = []
    at, number = 0, int(template.get("startNumber", "1"))
    for entry in timeline:
        at = int(entry.get("t", str(at)))
        for _ in range(int(entry.get("r", "0")) + 1):
            path = _named(template.get("media", ""), node, number + len(cuts), at)
            cuts.append(Cut(posixpath.normpath(posixpath.join(base, path)), at, int(entry.get("d", "0"))))
            at += cuts[-1].duration
    init = template.get("initialization")
    return Track(
        node=node,
        parent=parent,
        init=posixpath.normpath(posixpath.join(base, _named(init, node, 0, 0))) if init else None,
        timescale=int(template.get("timescale", "1")),
        offset=int(template.get("presentationTimeOffset", "0")),
        cuts=tuple(cuts),
    )


def _named(text: str, node: Element, number: int, time: int) -> str:
    text = text.replace("$RepresentationID$", node.get("id", "")).replace("$Bandwidth$", node.get("bandwidth", ""))
    values = {"Number": number, "Time": time}
    return _NUMBER.sub(lambda m: f"{values[m[1]]:0{int(m[2] or 1)}d}", text).replace("$$", "$")


def _seconds(text: str | None) -> Fraction | None:
    found = _DURATION.fullmatch(text or "-")
    if found is None or not any(found.groups()):
        return None
    days, hours, minutes, seconds = (Fraction(part or 0) for part in found.groups())
    return days * 86_400 + hours * 3600 + minutes * 60 + seconds


# --- the manifest


def _head(root: Element, *, live: bool) -> Iterator[str]:
    profiles = [one.strip() for one in root.get("profiles", "").split(",")]
    if not all(PROFILES.fullmatch(one) for one in profiles):
        yield f"profiles {root.get('profiles')!r} are none"
    if root.get("type", "static") != ("dynamic" if live else "static"):
        yield f"is of type {root.get('type')}"
    if _seconds(root.get("minBufferTime")) is None:
        yield "has no minBufferTime"
    if not live and not _seconds(root.get("mediaPresentationDuration")):
        yield "has no mediaPresentationDuration"
    if live and (root.get("availabilityStartTime") is None or root.get("publishTime") is None):
        yield "is dynamic, and has no availabilityStartTime and publishTime"
    if root.find(f"{MPD}Period") is None:
        yield "has no Period"
    for period in root.iter(f"{MPD}Period"):
        if period.find(f"{MPD}AdaptationSet") is None:
            yield "has a Period without AdaptationSet"


def _ids(root: Element) -> Iterator[str]:
    periods = [period.get("id") for period in root.iter(f"{MPD}Period")]
    yield from _twice("Period", [name for name in periods if name is not None])
    for period in root.iter(f"{MPD}Period"):
        yield from _twice("AdaptationSet", [one.get("id") or "" for one in period if one.get("id") is not None])
        names = [one.get("id") or "" for one in period.iter(f"{MPD}Representation")]
        yield from _twice("Representation", names)
        if any(not name or re.search(r"\s", name) for name in names):
            yield "has a Representation without a proper id"


def _twice(kind: str, names: Sequence[str]) -> Iterator[str]:
    yield from (f"has two of {kind} {name}" for name, count in Counter(names).items() if count > 1)


def _together(parent: Element, tracks: Sequence[Track]) -> Iterator[str]:
    """What Representations between which a player changes have in common."""
    name = f"AdaptationSet {parent.get('id')}"
    if not parent.findall(f"{MPD}Representation"):
        yield f"{name} has no Representation"
    if len({track.kind for track in tracks}) > 1:
        yield f"{name} holds several kinds of media"
    if parent.get("segmentAlignment") == "true":
        starts = {tuple(Fraction(cut.start - track.offset, track.timescale) for cut in track.cuts) for track in tracks}
        if len(starts) > 1:
            yield f"{name} says its segments are aligned, and they are not"
    elif len(tracks) > 1:
        yield f"{name} has several Representations and no segmentAlignment"
    if parent.get("lang") is not None and not _LANGUAGE.fullmatch(parent.get("lang") or ""):
        yield f"{name} is in lang {parent.get('lang')!r}"
    for role in parent.findall(f"{MPD}Role"):
        if not role.get("schemeIdUri") or not role.get("value"):
            yield f"{name} has a Role without scheme or value"


WHOLE = re.compile(r"\d+")
TOLD: dict[str, dict[str, re.Pattern[str]]] = {
    "": {"mimeType": re.compile(r"[a-z]+/[a-z0-9.+-]+"), "bandwidth": re.compile(r"[1-9]\d*")},
    "video": {"width": WHOLE, "height": WHOLE, "frameRate": re.compile(r"[1-9]\d*(/[1-9]\d*)?")},
    "audio": {"audioSamplingRate": WHOLE},
}
"""What a Representation says of itself or through its AdaptationSet, by its kind."""


def _described(track: Track) -> Iterator[str]:
    for name, pattern in {**TOLD[""], **TOLD.get(track.kind, {})}.items():
        if not pattern.fullmatch(track.get(name) or ""):
            yield f"has no {name}"
    if (track.get("mimeType") or "").endswith("/mp4") and not track.get("codecs"):
        yield "has no codecs"
    if track.kind == "audio" and not track.each("AudioChannelConfiguration"):
        yield "has no AudioChannelConfiguration"


def _timeline(track: Track, root: Element, live: bool) -> Iterator[str]:
    if not track.cuts:
        yield "has no segment"
        return
    if any(cut.duration <= 0 for cut in track.cuts):
        yield "has a segment that takes no time"
    for one, following in zip(track.cuts, track.cuts[1:], strict=False):
        if one.start + one.duration != following.start:
            yield f"goes from {one.start + one.duration} to {following.start} on its timeline"
    if len({cut.path for cut in track.cuts}) != len(track.cuts):
        yield "names a segment twice"
    whole = _seconds(root.get("mediaPresentationDuration"))
    end = Fraction(track.cuts[-1].start + track.cuts[-1].duration - track.offset, track.timescale)
    if whole is not None and not live and not whole - max(SLACK_S, _last(track)) <= end <= whole + Fraction(1, 10):
        yield f"ends at {float(end):.3f} s of {float(whole):.3f}"


def _last(track: Track) -> Fraction:
    """Text may end a segment earlier than the film."""
    return Fraction(track.cuts[-1].duration, track.timescale) if track.kind in ("text", "application") else Fraction(0)


# --- the files


def _files(track: Track, files: Files) -> Iterator[str]:
    missing = [path for path in (track.init, *(cut.path for cut in track.cuts)) if path and not files.get(path)]
    if missing:
        yield f"names {', '.join(missing)}, which is missing or empty"
        return
    if track.init is None:
        if (track.get("mimeType") or "").endswith("/mp4"):
            yield "has no initialization"
        return
    try:
        init = init_of(files[track.init])
        fragments = [fragment_of(files[cut.path], init) for cut in track.cuts]
    except Malformed as wrong:
        yield f"has segments that are none: {wrong}"
        return
    yield from _as_init(track, init)
    yield from _as_timeline(track, init, fragments)
    yield from _protected(track, init, fragments)


def _as_init(track: Track, init: Init) -> Iterator[str]:
    if init.beside:
        yield f"has {', '.join(init.beside)} beside it in its initialization"
    told = track.get("codecs") or ""
    alike = {"avc3": "avc1", "hev1": "hvc1", "Opus": "opus", "fLaC": "flac"}
    base, held = told.partition(".")[0], init.format
    if alike.get(base, base) != alike.get(held, held) or (init.avc and told.lower()[5:] != init.avc):
        yield f"is {held}{'.' + init.avc if init.avc else ''}, and codecs says {told}"
    if track.kind == "video" and (track.get("width"), track.get("height")) != tuple(map(str, init.size)):
        yield f"is {init.size[0]}x{init.size[1]}, and says {track.get('width')}x{track.get('height')}"


def _as_timeline(track: Track, init: Init, fragments: Sequence[Fragment]) -> Iterator[str]:
    for cut, found in zip(track.cuts, fragments, strict=True):
        if set(found.kinds) - {"styp", "moof", "mdat", "sidx", "emsg", "prft"} or found.kinds[:1] != ("styp",):
            yield f"{cut.path} holds {' '.join(found.kinds)}"
        if found.start * track.timescale != cut.start * init.timescale:
            yield f"{cut.path} begins at {found.start}, and the timeline says {cut.start}"
        if abs(Fraction(found.duration, init.timescale) - Fraction(cut.duration, track.timescale)) > Fraction(1, 1000):
            yield f"{cut.path} takes {found.duration}, and the timeline says {cut.duration}"
        if track.kind == "video" and not found.is_sync:
            yield f"{cut.path} does not begin with a sync sample"


def _protected(track: Track, init: Init, fragments: Sequence[Fragment]) -> Iterator[str]:
    """ISO/IEC 23009-1, 5.8.4.1, and 23001-7."""
    nodes = track.each("ContentProtection")
    if any(not node.get("schemeIdUri") for node in nodes):
        yield "has a ContentProtection without schemeIdUri"
    common = [node for node in nodes if node.get("schemeIdUri") == MP4_PROTECTION]
    if init.scheme is None:
        if nodes:
            yield "has ContentProtection, and its initialization is in the clear"
        return
    if not common:
        yield f"is encrypted ({init.scheme}), and has no ContentProtection of {MP4_PROTECTION}"
    for node in common:
        if node.get("value") != init.scheme:
            yield f"is encrypted by {init.scheme}, and ContentProtection says {node.get('value')}"
        if _uuid(node.get(f"{CENC}default_KID")) != init.key_id:
            yield f"has default_KID {node.get(f'{CENC}default_KID')}, and its initialization {init.key_id}"
    if init.scheme == "cenc" and not any(found.is_encrypted for found in fragments):
        yield "says it is encrypted, and no segment tells of encrypted samples"
    for node in nodes:
        yield from _boxed(node)


def _uuid(text: str | None) -> UUID | None:
    try:
        return UUID(text)
    except (ValueError, TypeError, AttributeError):
        return None


def _boxed(node: Element) -> Iterator[str]:
    for pssh in node.findall(f"{CENC}pssh"):
        try:
            system = pssh_system(base64.b64decode((pssh.text or "").strip(), validate=True))
        except (Malformed, binascii.Error, ValueError) as wrong:
            yield f"has a cenc:pssh that is none: {wrong}"
            continue
        if (node.get("schemeIdUri") or "").lower() != f"urn:uuid:{system}":
            yield f"has a pssh of {system} for {node.get('schemeIdUri')}"


def _burst(track: Track, root: Element, files: Files) -> Iterator[str]:
    """At its bandwidth, begun at any segment after minBufferTime, no segment comes too late (5.3.5.2)."""
    rate, buffered = int(track.get("bandwidth") or 0), _seconds(root.get("minBufferTime")) or Fraction(0)
    sizes = [len(files.get(cut.path, b"")) * 8 for cut in track.cuts]
    for first in range(len(sizes)):
        bits, seconds = 0, Fraction(0)
        for size, cut in zip(sizes[first:], track.cuts[first:], strict=True):
            bits, seconds = bits + size, seconds + Fraction(cut.duration, track.timescale)
            if bits > rate * (buffered + seconds) + 1:
                yield f"needs more than its bandwidth of {rate} from {track.cuts[first].path} on"
                return
