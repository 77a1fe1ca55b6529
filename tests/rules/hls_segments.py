"""What is seen in the segments of a media playlist, whatever they are made of."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from tests.rules import Files
from tests.rules.boxes import Init, Malformed, fragment_of, init_of
from tests.rules.playlist_text import Entry, unquoted
from tests.rules.transport import NotTransport, begins_with_key, segment_of

Keys = Mapping[str, bytes]
"""Keys of AES-128 by the URI that stands in the playlist."""


class Unreadable(ValueError):
    """A segment is missing, or is not what its name and its playlist say."""


@dataclass(frozen=True, slots=True)
class Seen:
    """`codecs` are their bases, `avc` is PPCCLL. `start` and `seconds` are None where the segment does not tell."""

    size: int
    kind: str
    codecs: frozenset[str] = frozenset()
    avc: str | None = None
    is_key: bool = True
    start: Fraction | None = None
    seconds: Fraction | None = None
    picture: tuple[int, int] | None = None


def path_of(playlist: str, uri: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(playlist), uri))


def seen_in(files: Files, playlist: str, entry: Entry, keys: Keys) -> Seen:
    """Raises Unreadable."""
    data = files.get(path_of(playlist, entry.uri))
    if not data:
        raise Unreadable("is empty" if data is not None else "is not there")
    size = len(data)
    if entry.key is not None and entry.key.get("METHOD") == "AES-128":
        key = keys.get(unquoted(entry.key.get("URI")))
        if size % 16:
            raise Unreadable("is no whole blocks, though AES-128 encrypts it")
        if key is None:
            return Seen(size, "sealed")
        data = _opened(data, key, entry)
    try:
        return _looked_at(files, playlist, entry, data, size)
    except (NotTransport, Malformed) as wrong:
        raise Unreadable(str(wrong)) from wrong


def _opened(data: bytes, key: bytes, entry: Entry) -> bytes:
    told = (entry.key or {}).get("IV")
    iv = bytes.fromhex(told[2:]) if told else entry.number.to_bytes(16, "big")
    decryptor, padding = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor(), PKCS7(128).unpadder()
    try:
        return padding.update(decryptor.update(data) + decryptor.finalize()) + padding.finalize()
    except ValueError as wrong:
        raise Unreadable("does not decrypt with its key") from wrong


def _looked_at(files: Files, playlist: str, entry: Entry, data: bytes, size: int) -> Seen:
    if data.startswith((b"WEBVTT", b"\xef\xbb\xbfWEBVTT")):
        return Seen(size, "text", frozenset({"wvtt"}))
    if entry.map is not None:
        init = files.get(path_of(playlist, unquoted(entry.map.get("URI"))))
        if init is None:
            raise Unreadable("has no EXT-X-MAP that is there")
        return _fragment(data, init_of(init), size)
    if data[4:8] in (b"styp", b"moof", b"ftyp", b"sidx"):
        raise Unreadable("is fragmented MP4, and no EXT-X-MAP stands above it")
    found = segment_of(data)
    kind = "video" if found.codecs & {"avc1", "hvc1"} else "audio"
    return Seen(size, kind, found.codecs, found.avc, found.is_key, found.start)


def _fragment(data: bytes, init: Init, size: int) -> Seen:
    found = fragment_of(data, init)
    is_key = found.is_sync
    if init.handler == "vide" and init.format[:3] in ("avc", "hvc", "hev"):
        is_key &= begins_with_key(_units(found.first), init.format)
    return Seen(
        size=size,
        kind={"vide": "video", "soun": "audio"}.get(init.handler, "text"),
        codecs=frozenset(map(_base, (init.format, *init.beside))),
        avc=init.avc,
        is_key=is_key,
        start=Fraction(found.start, init.timescale),
        seconds=Fraction(found.duration, init.timescale),
        picture=init.size if init.handler == "vide" else None,
    )


def _units(sample: bytes) -> list[bytes]:
    """NAL units behind their lengths of four bytes; encryption leaves lengths and headers in the clear."""
    units, at = [], 0
    while at + 5 <= len(sample):
        length = int.from_bytes(sample[at : at + 4], "big")
        units.append(sample[at + 4 : at + 4 + length])
        at += 4 + length
    return [unit for unit in units if unit]


ALIKE = {"avc3": "avc1", "hev1": "hvc1", "Opus": "opus", "fLaC": "flac"}


def _base(fourcc: str) -> str:
    return ALIKE.get(fourcc, fourcc)


def base_of(codec: str) -> str:
    """The base of an entry of CODECS."""
    return _base(codec.partition(".")[0])
