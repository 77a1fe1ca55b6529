"""The rules of RFC 8216 for a master playlist, its media playlists and their segments."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from tests.rules import Files
from tests.rules.hls_segments import Keys, Seen, Unreadable, base_of, path_of, seen_in
from tests.rules.playlist_text import (
    COMMON_TAGS,
    MASTER_TAGS,
    MEDIA_TAGS,
    ONCE,
    Attributes,
    Line,
    MediaText,
    lines_of,
    media_of,
    unquoted,
)

CLOSE = Fraction(1, 10)
"""Seconds that EXTINF may differ from what its segment holds: sound is cut at frames of its own."""

METHODS = frozenset({"NONE", "AES-128", "SAMPLE-AES", "SAMPLE-AES-CTR"})
"""RFC 8216, and SAMPLE-AES-CTR of its successor."""

VARIANT = {"BANDWIDTH": r"\d+", "AVERAGE-BANDWIDTH": r"\d+", "RESOLUTION": r"\d+x\d+", "FRAME-RATE": r"\d+(\.\d{1,3})?"}
RENDITION = {
    "TYPE": "AUDIO|VIDEO|SUBTITLES|CLOSED-CAPTIONS",
    "LANGUAGE": r'"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*"',
    **dict.fromkeys(("DEFAULT", "AUTOSELECT", "FORCED"), "YES|NO"),
}
"""What values look like, where they are given."""

_IV = re.compile(r"0[xX][0-9A-Fa-f]{32}")


@dataclass(frozen=True, slots=True)
class Playlist:
    """A media playlist as it was read, with what is in its segments; `seen` lacks those that cannot be read."""

    path: str
    text: MediaText
    seen: tuple[Seen, ...]

    @property
    def kind(self) -> str:
        return self.seen[0].kind if self.seen else ""

    def peak(self) -> Fraction:
        """The largest bit rate of neighbours whose durations add up to 0.5 to 1.5 of the target (section 4.3.4.2)."""
        lengths = [entry.seconds or Fraction(0) for entry in self.text.entries]
        target = self.text.target or 0
        rates = [Fraction(0)]
        for first in range(len(self.seen)):
            bits, seconds = 0, Fraction(0)
            for one, length in zip(self.seen[first:], lengths[first:], strict=False):
                bits, seconds = bits + one.size * 8, seconds + length
                if seconds > Fraction(3, 2) * target:
                    break
                if seconds >= Fraction(1, 2) * target and seconds:
                    rates.append(bits / seconds)
        return max(rates)

    def average(self) -> Fraction:
        seconds = sum((entry.seconds or Fraction(0) for entry in self.text.entries), Fraction(0))
        return sum(one.size for one in self.seen) * 8 / seconds if seconds else Fraction(0)


def broken(files: Files, master: str = "hls/master.m3u8", *, keys: Keys | None = None, live: bool = False) -> list[str]:
    """What is wrong with a master playlist and all it names; `live` for one that still goes on."""
    content = files.get(master)
    if content is None:
        return [f"{master}: is not there"]
    lines = tuple(lines_of(content.decode("utf-8", "replace")))
    faults = [f"{master}: {fault}" for rule in (_form, _master_form, _renditions) for fault in rule(content, lines)]
    named = {path_of(master, uri) for uri in _uris(lines)}
    found: dict[str, Playlist] = {}
    for path in sorted(named):
        faults += broken_media(files, path, keys=keys, live=live, into=found)
    faults += [f"{master}: {fault}" for fault in _variants(master, lines, found)]
    return faults


def broken_media(
    files: Files, path: str, *, keys: Keys | None = None, live: bool = False, into: dict[str, Playlist] | None = None
) -> list[str]:
    """What is wrong with one media playlist and its segments."""
    content = files.get(path)
    if content is None:
        return [f"{path}: is not there"]
    text = media_of(content.decode("utf-8", "replace"))
    faults = [*_form(content, text.lines), *_media_form(text), *_versions(text), *_key_tags(text)]
    faults += [] if live else _finished(text)
    seen: list[Seen] = []
    for entry in text.entries:
        try:
            seen.append(seen_in(files, path, entry, keys or {}))
        except Unreadable as wrong:
            faults.append(f"{entry.uri} {wrong}")
    playlist = Playlist(path, text, tuple(seen))
    if len(seen) == len(text.entries):
        faults += [*_true_lengths(playlist), *_begin_with_keys(playlist)]
    if into is not None:
        into[path] = playlist
    return [f"{path}: {fault}" for fault in faults]


# --- form


def _form(content: bytes, lines: Sequence[Line]) -> Iterator[str]:
    if not content.startswith(b"#EXTM3U\n") and not content.startswith(b"#EXTM3U\r\n"):
        yield "does not begin with #EXTM3U"
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        yield "is not UTF-8"
    tags = [line.tag for line in lines if line.tag]
    for tag in sorted(set(tags) - MASTER_TAGS - MEDIA_TAGS - COMMON_TAGS):
        yield f"{tag} is no tag"
    for tag in sorted(ONCE):
        if tags.count(tag) > 1:
            yield f"{tag} stands there twice"
    if MASTER_TAGS & set(tags) and MEDIA_TAGS & set(tags):
        yield "holds tags of a master and of a media playlist"
    listed = {"EXT-X-MEDIA", "EXT-X-STREAM-INF", "EXT-X-KEY", "EXT-X-MAP", "EXT-X-I-FRAME-STREAM-INF", "EXT-X-SESSION-KEY"}
    for line in lines:
        if line.tag in listed and not line.is_list:
            yield f"{line.tag}:{line.value} is no attribute list"


def _media_form(text: MediaText) -> Iterator[str]:
    if text.target is None:
        yield "has no EXT-X-TARGETDURATION"
    if not text.entries:
        yield "has no segment"
    before = [line.tag for line in text.lines[: next((n for n, line in enumerate(text.lines) if line.tag == ""), 0)]]
    if "EXT-X-MEDIA-SEQUENCE" in text.tags and "EXT-X-MEDIA-SEQUENCE" not in before:
        yield "EXT-X-MEDIA-SEQUENCE stands behind a segment"
    kinds = [line.value for line in text.lines if line.tag == "EXT-X-PLAYLIST-TYPE"]
    if kinds and kinds[0] not in ("VOD", "EVENT"):
        yield f"EXT-X-PLAYLIST-TYPE:{kinds[0]} is no type"
    for entry in text.entries:
        if entry.seconds is None:
            yield f"{entry.uri} has no EXTINF"
        elif text.target is not None and int(entry.seconds + Fraction(1, 2)) > text.target:
            yield f"{entry.uri} takes {float(entry.seconds)} s, and the target duration is {text.target}"
    if len({entry.uri for entry in text.entries}) != len(text.entries):
        yield "names a segment twice"


def _finished(text: MediaText) -> Iterator[str]:
    if not text.lines or text.lines[-1].tag != "EXT-X-ENDLIST":
        yield "does not end with EXT-X-ENDLIST"
    if Line("EXT-X-PLAYLIST-TYPE", "VOD") not in text.lines:
        yield "is not EXT-X-PLAYLIST-TYPE:VOD"
    if text.first not in (0, 1):
        yield f"begins at {text.first}, as if something had gone before"


def _versions(text: MediaText) -> Iterator[str]:
    """Section 7."""
    needs = {
        2: any("IV" in line.pairs for line in text.lines if line.tag == "EXT-X-KEY"),
        3: any("." in line.value.partition(",")[0] for line in text.lines if line.tag == "EXTINF"),
        4: bool({"EXT-X-BYTERANGE", "EXT-X-I-FRAMES-ONLY"} & text.tags),
        5: any({"KEYFORMAT", "KEYFORMATVERSIONS"} & set(line.pairs) for line in text.lines if line.tag == "EXT-X-KEY"),
        6: "EXT-X-MAP" in text.tags and "EXT-X-I-FRAMES-ONLY" not in text.tags,
    }
    least = max((version for version, is_needed in needs.items() if is_needed), default=1)
    if text.version < least:
        yield f"is of version {text.version}, and needs {least}"


def _key_tags(text: MediaText) -> Iterator[str]:
    """Section 4.3.2.4."""
    for line in text.lines:
        if line.tag == "EXT-X-MAP" and not unquoted(line.pairs.get("URI")):
            yield "EXT-X-MAP has no URI"
        if line.tag != "EXT-X-KEY":
            continue
        pairs = line.pairs
        method = pairs.get("METHOD")
        if method not in METHODS:
            yield f"METHOD {method} is none"
        elif method == "NONE" and len(pairs) > 1:
            yield "METHOD=NONE has other attributes"
        elif method != "NONE" and not unquoted(pairs.get("URI")):
            yield f"METHOD={method} has no URI"
        if "IV" in pairs and not _IV.fullmatch(pairs["IV"]):
            yield f"IV {pairs['IV']} is no hexadecimal number of 128 bits"


# --- segments


def _true_lengths(playlist: Playlist) -> Iterator[str]:
    """Each EXTINF is what the next segment's start, or the segment itself, says."""
    entries, seen = playlist.text.entries, playlist.seen
    for n, (entry, one) in enumerate(zip(entries, seen, strict=True)):
        following = seen[n + 1] if n + 1 < len(seen) and not entries[n + 1].is_break else None
        if following is not None and following.start is not None and one.start is not None:
            held: Fraction | None = following.start - one.start
        else:
            held = one.seconds
        if held is not None and entry.seconds is not None and abs(held - entry.seconds) > CLOSE:
            yield f"{entry.uri} says {float(entry.seconds):.3f} s and takes {float(held):.3f}"


def _begin_with_keys(playlist: Playlist) -> Iterator[str]:
    for entry, one in zip(playlist.text.entries, playlist.seen, strict=True):
        if one.kind == "video" and not one.is_key:
            yield f"{entry.uri} does not begin with an IDR picture"


# --- the master playlist


def _uris(lines: Sequence[Line]) -> Iterator[str]:
    for n, line in enumerate(lines):
        if line.tag == "" and n and lines[n - 1].tag == "EXT-X-STREAM-INF":
            yield line.value
        elif line.tag == "EXT-X-MEDIA" and "URI" in line.pairs:
            yield unquoted(line.pairs["URI"])


def _master_form(_: bytes, lines: Sequence[Line]) -> Iterator[str]:
    """Section 4.3.4.2."""
    variants = [(line.pairs, lines[n + 1 : n + 2]) for n, line in enumerate(lines) if line.tag == "EXT-X-STREAM-INF"]
    if not variants:
        yield "has no EXT-X-STREAM-INF"
    for pairs, behind in variants:
        name = behind[0].value if behind and behind[0].tag == "" else ""
        if not name:
            yield "EXT-X-STREAM-INF is not followed by a URI"
        for wanted in ("BANDWIDTH", "CODECS"):
            if not unquoted(pairs.get(wanted)):
                yield f"{name} has no {wanted}"
        for told, pattern in VARIANT.items():
            if told in pairs and not re.fullmatch(pattern, pairs[told]):
                yield f"{told} of {name} is {pairs[told]}"
    if len({behind[0].value for _, behind in variants if behind}) < len(variants) and not _has_groups(variants):
        yield "names a playlist for two variants"
    bare = [n for n, line in enumerate(lines) if line.tag == "" and (n == 0 or lines[n - 1].tag != "EXT-X-STREAM-INF")]
    if bare:
        yield "has a URI without EXT-X-STREAM-INF"


def _has_groups(variants: Sequence[tuple[Attributes, Sequence[Line]]]) -> bool:
    """One picture may stand there with several groups of sound."""
    return all("AUDIO" in pairs for pairs, _ in variants)


def _renditions(_: bytes, lines: Sequence[Line]) -> Iterator[str]:
    """Section 4.3.4.1."""
    media = [line.pairs for line in lines if line.tag == "EXT-X-MEDIA"]
    for pairs in media:
        name = unquoted(pairs.get("NAME"))
        for wanted in ("TYPE", "GROUP-ID", "NAME"):
            if not unquoted(pairs.get(wanted)):
                yield f"EXT-X-MEDIA {name} has no {wanted}"
        for told, pattern in RENDITION.items():
            if told in pairs and not re.fullmatch(pattern, pairs[told]):
                yield f"{told} of {name} is {pairs[told]}"
        if pairs.get("TYPE") == "SUBTITLES" and "URI" not in pairs:
            yield f"subtitles {name} have no URI"
        if pairs.get("DEFAULT") == "YES" and pairs.get("AUTOSELECT", "YES") != "YES":
            yield f"{name} is DEFAULT and not AUTOSELECT"
        if "FORCED" in pairs and pairs.get("TYPE") != "SUBTITLES":
            yield f"{name} is FORCED and no subtitles"
    yield from _groups(media, [line.pairs for line in lines if line.tag == "EXT-X-STREAM-INF"])


def _groups(media: Sequence[Attributes], variants: Sequence[Attributes]) -> Iterator[str]:
    groups: dict[tuple[str, str], list[Attributes]] = {}
    for pairs in media:
        groups.setdefault((pairs.get("TYPE", ""), unquoted(pairs.get("GROUP-ID"))), []).append(pairs)
    for (_, name), members in groups.items():
        names = [pairs.get("NAME") for pairs in members]
        if len(set(names)) != len(names):
            yield f"group {name} has two renditions of one name"
        if sum(pairs.get("DEFAULT") == "YES" for pairs in members) > 1:
            yield f"group {name} has two defaults"
    kinds: tuple[str, ...] = ("AUDIO", "VIDEO", "SUBTITLES")
    used = {(kind, unquoted(pairs[kind])) for pairs in variants for kind in kinds if kind in pairs}
    for kind, name in sorted(used - set(groups)):
        yield f"{kind} group {name} is named and is not there"
    for kind, name in sorted(set(groups) - used):
        yield f"{kind} group {name} is there and no variant names it"


# --- what the master says of its playlists


def _variants(master: str, lines: Sequence[Line], found: Mapping[str, Playlist]) -> Iterator[str]:
    groups: dict[tuple[str, str], list[Playlist]] = {}
    for line in lines:
        if line.tag == "EXT-X-MEDIA" and (path := path_of(master, unquoted(line.pairs.get("URI")))) in found:
            key = (line.pairs.get("TYPE", ""), unquoted(line.pairs.get("GROUP-ID")))
            groups.setdefault(key, []).append(found[path])
    pictures = []
    for n, line in enumerate(lines):
        if line.tag != "EXT-X-STREAM-INF" or n + 1 >= len(lines) or (path := path_of(master, lines[n + 1].value)) not in found:
            continue
        own, pairs = found[path], line.pairs
        beside = [groups.get((kind, unquoted(pairs.get(kind))), []) for kind in ("AUDIO", "SUBTITLES")]
        for rule in (_rates, _codecs, _picture):
            yield from (f"{lines[n + 1].value} {fault}" for fault in rule(pairs, own, beside))
        pictures += [own] if own.kind == "video" else []
    yield from _aligned(pictures)


Rule = Callable[[Attributes, Playlist, Sequence[Sequence[Playlist]]], Iterator[str]]


def _rates(pairs: Attributes, own: Playlist, beside: Sequence[Sequence[Playlist]]) -> Iterator[str]:
    peak = own.peak() + sum((max(one.peak() for one in group) for group in beside if group), Fraction(0))
    average = own.average() + sum((max(one.average() for one in group) for group in beside if group), Fraction(0))
    told = int(pairs.get("BANDWIDTH", "0")) if pairs.get("BANDWIDTH", "").isdigit() else 0
    if told + 1 < peak:
        yield f"has peaks of {int(peak)} bit/s, and BANDWIDTH says {told}"
    if "AVERAGE-BANDWIDTH" in pairs and int(pairs["AVERAGE-BANDWIDTH"]) + 1 < average * Fraction(99, 100):
        yield f"takes {int(average)} bit/s on average, and AVERAGE-BANDWIDTH says {pairs['AVERAGE-BANDWIDTH']}"
    if int(pairs.get("AVERAGE-BANDWIDTH", "0")) > told:
        yield "has an AVERAGE-BANDWIDTH above its BANDWIDTH"


def _codecs(pairs: Attributes, own: Playlist, beside: Sequence[Sequence[Playlist]]) -> Iterator[str]:
    told = unquoted(pairs.get("CODECS")).split(",")
    held = {codec for one in (own, *(beside[0] if beside else ())) for seen in one.seen for codec in seen.codecs}
    for codec in sorted(held - {base_of(one) for one in told}):
        yield f"holds {codec}, and CODECS says {','.join(told)}"
    for codec in sorted({base_of(one) for one in told} - held - {"wvtt", "stpp"}):
        if held:
            yield f"holds no {codec}, though CODECS says {','.join(told)}"
    exact = {f"avc1.{seen.avc}" for seen in own.seen if seen.avc}
    if exact and not exact & {one.lower().replace("avc3", "avc1") for one in told}:
        yield f"is {', '.join(sorted(exact))}, and CODECS says {','.join(told)}"


def _picture(pairs: Attributes, own: Playlist, _: Sequence[Sequence[Playlist]]) -> Iterator[str]:
    if own.kind != "video":
        return
    if "RESOLUTION" not in pairs:
        yield "has a picture and no RESOLUTION"
    size = own.seen[0].picture
    if size is not None and pairs.get("RESOLUTION") != f"{size[0]}x{size[1]}":
        yield f"is {size[0]}x{size[1]}, and RESOLUTION says {pairs.get('RESOLUTION')}"


def _aligned(pictures: Sequence[Playlist]) -> Iterator[str]:
    """Section 6.2.4: variants show the same at the same time, so a player may change at every segment."""
    for one in pictures[1:]:
        mine, first = ([entry.seconds or Fraction(0) for entry in p.text.entries] for p in (one, pictures[0]))
        if len(mine) != len(first) or any(abs(a - b) > CLOSE for a, b in zip(mine, first, strict=True)):
            yield f"{one.path} is cut otherwise than {pictures[0].path}"
