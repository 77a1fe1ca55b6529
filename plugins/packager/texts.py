"""What is published of a package that proved right: its files, and the playlists and the manifest as players get them."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction

from plugins.media import hls
from plugins.media.rejected import Rejected
from plugins.packager import dash, locks
from plugins.packager.command import label
from plugins.packager.tracks import Kind, Track
from plugins.packager.verify import Proof, Proven
from protocol.errors import ErrorCode
from protocol.packaging import ContentKeys
from protocol.recipes import PackageRecipe
from protocol.results import FileRole, OutputFacts
from protocol.steps import PACKAGE_STREAMS

_TARGET = re.compile(r"^#EXT-X-TARGETDURATION:(\d+)$", re.MULTILINE)
_WORD = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^",]*)')


def published(recipe: PackageRecipe, proof: Proof, keys: ContentKeys | None) -> Iterator[tuple[str, bytes]]:
    """What is written anew, by its path. Raises Rejected where the packager told too little."""
    if recipe.dash_manifest and proof.manifest is not None:
        yield recipe.dash_manifest, dash.placed(proof.manifest, recipe.dash_manifest)
    if recipe.hls_master:
        yield recipe.hls_master, _master(recipe.hls_master, proof)
        for one in proof.tracks if keys is not None else ():
            if keys is not None and one.track.kind is not Kind.TEXT:
                yield one.track.playlist, locks.published(one.written, one.track, recipe, keys).encode()


def facts(recipe: PackageRecipe, proof: Proof) -> Iterator[tuple[str, OutputFacts]]:
    for proven in proof.tracks:
        track = proven.track
        name = track.name if track.kind is Kind.PICTURE else None
        if track.init:
            yield track.init, OutputFacts(role=FileRole.INIT_SEGMENT, rendition=name)
        for segment, length in proven.playlist.segments:
            path = f"{track.directory}/{segment}"
            yield path, OutputFacts(role=FileRole.SEGMENT, rendition=name, duration=float(length))
        if recipe.hls_master and not track.is_for_dash_alone:
            yield track.playlist, _playlist(proven, name)
    if recipe.hls_master:
        yield recipe.hls_master, OutputFacts(role=FileRole.MASTER_PLAYLIST)
    if recipe.dash_manifest:
        yield recipe.dash_manifest, OutputFacts(role=FileRole.MANIFEST)


def _playlist(proven: Proven, name: str | None) -> OutputFacts:
    planned, kind = proven.track.planned, proven.track.kind
    is_picture = kind is Kind.PICTURE and planned is not None
    sound = planned.rendition.audio.codec if planned else None
    return OutputFacts(
        role=FileRole.PLAYLIST,
        rendition=name,
        codec="webvtt" if kind is Kind.TEXT else planned.rendition.codec.value if is_picture and planned else sound,
        width=planned.width if is_picture and planned else None,
        height=planned.height if is_picture and planned else None,
        duration=round(float(proven.playlist.duration), 6),
        segment_count=len(proven.sizes),
        segment_seconds=float(max((length for _, length in proven.playlist.segments), default=Fraction(0))),
        segments_bytes=sum(proven.sizes),
        language=proven.track.language,
        track=proven.track.heard.name if proven.track.heard else None,
    )


# --- the master playlist


def _master(path: str, proof: Proof) -> bytes:
    """The packager's, with bandwidths as RFC 8216 4.3.4.2 has them, text included, and with our words for what one may choose."""
    listed = [one for one in proof.tracks if not one.track.is_for_dash_alone]
    told = _told(path, proof.master)
    beside = [one for one in listed if one.track.kind is not Kind.PICTURE]
    kinds = {one.track.kind for one in beside}
    groups = tuple((word, GROUPS[kind]) for kind, word in ATTRIBUTES.items() if kind in kinds)
    pictures = [one for one in listed if one.track.kind is Kind.PICTURE]
    sums = [_most(one for one in beside if one.track.kind is kind) for kind in kinds]
    peak, average = sum(one[0] for one in sums), sum(one[1] for one in sums)
    variants = [_variant(one, told.get(one.track.playlist, {}), path, groups) for one in pictures]
    media = list(_media([one.track for one in beside], told, path))
    return hls.master([replace(one, peak=one.peak + peak, average=one.average + average) for one in variants], media)


ATTRIBUTES = {Kind.SOUND: "AUDIO", Kind.TEXT: "SUBTITLES"}
GROUPS = {Kind.SOUND: "audio", Kind.TEXT: "text"}


def _told(path: str, master: str) -> dict[str, dict[str, str]]:
    """What the packager says of each playlist, by its path."""
    lines = master.splitlines()
    found: dict[str, dict[str, str]] = {}
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        tag, _, value = line.partition(":")
        words = {name: word.strip('"') for name, word in _WORD.findall(value)}
        uri = following if tag == "#EXT-X-STREAM-INF" else words.get("URI", "") if tag == "#EXT-X-MEDIA" else ""
        if uri:
            found[posixpath.normpath(posixpath.join(posixpath.dirname(path), uri))] = words
    return found


def _variant(one: Proven, told: dict[str, str], path: str, groups: tuple[tuple[str, str], ...]) -> hls.Variant:
    planned = one.track.planned
    if planned is None or not told.get("CODECS") or told.get("RESOLUTION") != f"{planned.width}x{planned.height}":
        message = f"The packager's master playlist does not tell what {one.track.name} is."
        raise Rejected(ErrorCode.OUTPUT_INVALID, message, PACKAGE_STREAMS)
    peak, average = _rates(one)
    return hls.Variant(
        uri=hls.relative(one.track.playlist, path),
        width=planned.width,
        height=planned.height,
        rate=Fraction(told.get("FRAME-RATE", "0")),
        codecs=told["CODECS"],
        peak=peak,
        average=average,
        groups=groups,
    )


def _most(proven: Iterator[Proven]) -> tuple[int, int]:
    rates = [_rates(one) for one in proven]
    return max(peak for peak, _ in rates), max(average for _, average in rates)


def _rates(one: Proven) -> tuple[int, int]:
    """Peak and average in bits a second: the peak is that of any neighbours that last 0.5 to 1.5 of the target together."""
    found = _TARGET.search(one.written)
    target = int(found[1]) if found else 0
    lengths, whole = [length for _, length in one.playlist.segments], one.playlist.duration
    peak = Fraction(0)
    for first in range(len(lengths)):
        bits, seconds = 0, Fraction(0)
        for size, length in zip(one.sizes[first:], lengths[first:], strict=True):
            bits, seconds = bits + size * 8, seconds + length
            if seconds > Fraction(3, 2) * target:
                break
            if 2 * seconds >= target and seconds:
                peak = max(peak, bits / seconds)
    average = sum(one.sizes) * 8 / whole if whole else Fraction(0)
    return -(-max(peak, average) // 1), -(-average // 1)


def _media(beside: Sequence[Track], told: dict[str, dict[str, str]], path: str) -> Iterator[hls.Media]:
    names = _names(beside)
    for track in beside:
        words = told.get(track.playlist, {})
        is_default = track.kind is Kind.SOUND and (track.heard is None or track.heard.is_default)
        channels = words.get("CHANNELS", "")
        yield hls.Media(
            kind=ATTRIBUTES[track.kind],
            group=GROUPS[track.kind],
            name=names[track.name],
            language=words.get("LANGUAGE") or track.language,
            is_default=is_default,
            is_forced=track.read is not None and track.read.is_forced,
            channels=int(channels) if channels.isdigit() else None,
            uri=hls.relative(track.playlist, path),
        )


def _names(beside: Sequence[Track]) -> dict[str, str]:
    """What people choose by: once in its group, without quotes."""
    wanted = {track.name: label(_title(track)) for track in beside}
    counts = Counter((track.kind, wanted[track.name]) for track in beside)
    return {track.name: wanted[track.name] if counts[track.kind, wanted[track.name]] == 1 else track.name for track in beside}


def _title(track: Track) -> str:
    if track.heard is not None:
        return track.heard.title or track.heard.name
    return track.read.name if track.read is not None else track.name
