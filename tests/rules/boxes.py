"""Reads ISO base media files as far as rules need it: ISO/IEC 14496-12, and 23001-7 for what is encrypted."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from uuid import UUID

VISUAL_HEAD, SOUND_HEAD = 78, 28
"""Bytes of a sample entry before its boxes."""

NOT_SYNC = 0x10000
"""sample_is_non_sync_sample in the flags of a sample."""


class Malformed(ValueError):
    """No ISO base media file."""


def boxes(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Type and content of each box, one behind the other. Raises Malformed."""
    at = 0
    while at < len(data):
        if at + 8 > len(data):
            raise Malformed(f"{len(data) - at} bytes are left over")
        size, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1 and at + 16 <= len(data):
            size, head = struct.unpack_from(">Q", data, at + 8)[0], 16
        if size < head or at + size > len(data):
            raise Malformed(f"box {kind!r} says {size} bytes, and {len(data) - at} are there")
        yield kind.decode("latin-1"), data[at + head : at + size]
        at += size


def children(data: bytes, kind: str) -> list[bytes]:
    return [content for name, content in boxes(data) if name == kind]


def inside(data: bytes, *path: str) -> bytes | None:
    """The first box at a path of types."""
    for kind in path:
        found = children(data, kind)
        if not found:
            return None
        data = found[0]
    return data


@dataclass(frozen=True, slots=True)
class Init:
    """An initialization segment. `entry` is the sample entry's type of its picture, of its sound where it has none, `format`
    what that is in the clear; `beside` are the entries of its other tracks.

    `shift` is where its edit list says that the film begins, in ticks: what comes before is for the decoder alone.
    `avc` is `PPCCLL` of RFC 6381. `scheme` and `key_id` are None where nothing is encrypted.
    """

    number: int
    timescale: int
    shift: int
    handler: str
    entry: str
    format: str
    avc: str | None
    size: tuple[int, int]
    default_duration: int
    default_flags: int
    scheme: str | None
    key_id: UUID | None
    pssh: tuple[bytes, ...]
    beside: tuple[str, ...]


def init_of(data: bytes) -> Init:
    """Raises Malformed."""
    moov = inside(data, "moov")
    traks = children(moov, "trak") if moov is not None else []
    if moov is None or inside(data, "ftyp") is None or not traks:
        raise Malformed("no ftyp and moov with a track")
    trak = next((one for one in traks if _handler(one) == "vide"), traks[0])
    mdia, tkhd, stsd = inside(trak, "mdia"), inside(trak, "tkhd"), inside(trak, "mdia", "minf", "stbl", "stsd")
    if mdia is None or tkhd is None or stsd is None:
        raise Malformed("moov lacks what a track has")
    number = struct.unpack_from(">I", tkhd, 20 if tkhd[:1] == b"\1" else 12)[0]
    extends = [one for one in children(inside(moov, "mvex") or b"", "trex") if struct.unpack_from(">I", one, 4)[0] == number]
    if not extends:
        raise Malformed("moov lacks what a fragmented track has")
    mdhd = inside(mdia, "mdhd") or b""
    entry, inner = _entry(stsd, _handler(trak))
    sinf, avcc = inside(inner, "sinf"), inside(inner, "avcC")
    tenc = inside(sinf, "schi", "tenc") if sinf is not None else None
    width, height = struct.unpack(">II", tkhd[-8:])
    return Init(
        number=number,
        timescale=struct.unpack_from(">I", mdhd, 20 if mdhd[:1] == b"\1" else 12)[0],
        shift=_shift(inside(trak, "edts", "elst")),
        handler=_handler(trak),
        entry=entry,
        format=_four(inside(sinf, "frma") or b"", 0) if sinf is not None else entry,
        avc=avcc[1:4].hex() if avcc is not None else None,
        size=(width >> 16, height >> 16),
        default_duration=struct.unpack_from(">I", extends[0], 12)[0],
        default_flags=struct.unpack_from(">I", extends[0], 20)[0],
        scheme=_four(inside(sinf, "schm") or b"", 4) if sinf is not None else None,
        key_id=UUID(bytes=tenc[8:24]) if tenc is not None and len(tenc) >= 24 else None,
        pssh=tuple(whole(content) for content in children(moov, "pssh")),
        beside=tuple(
            _entry(inside(one, "mdia", "minf", "stbl", "stsd") or b"", _handler(one))[0] for one in traks if one != trak
        ),
    )


def _handler(trak: bytes) -> str:
    return _four(inside(trak, "mdia", "hdlr") or b"", 8)


def _entry(stsd: bytes, handler: str) -> tuple[str, bytes]:
    """The type of the first sample entry, and its boxes."""
    entry, content = next(boxes(stsd[8:]), ("", b""))
    return entry, content[{"vide": VISUAL_HEAD, "soun": SOUND_HEAD}.get(handler, len(content)) :]


def _shift(elst: bytes | None) -> int:
    if elst is None or not struct.unpack_from(">I", elst, 4)[0]:
        return 0
    found: int = struct.unpack_from(">q", elst, 16)[0] if elst[0] == 1 else struct.unpack_from(">i", elst, 12)[0]
    return max(found, 0)


def _four(data: bytes, at: int) -> str:
    return data[at : at + 4].decode("latin-1")


def whole(content: bytes) -> bytes:
    """A pssh box with its head."""
    return struct.pack(">I4s", len(content) + 8, b"pssh") + content


def pssh_system(box: bytes) -> UUID:
    """The system of a whole pssh box. Raises Malformed."""
    ((kind, content),) = boxes(box)
    if kind != "pssh" or len(content) < 24 or content[0] > 1:
        raise Malformed("no pssh box")
    at = 20 + (4 + 16 * struct.unpack_from(">I", content, 20)[0] if content[0] == 1 else 0)
    if len(content) < at + 4 or len(content) != at + 4 + struct.unpack_from(">I", content, at)[0]:
        raise Malformed("the lengths inside a pssh box do not add up")
    return UUID(bytes=content[4:20])


@dataclass(frozen=True, slots=True)
class Fragment:
    """A media segment: its boxes, what it shows from when and for how long in the track's ticks, and its first sample."""

    kinds: tuple[str, ...]
    start: int
    duration: int
    samples: int
    is_sync: bool
    first: bytes
    is_encrypted: bool


def fragment_of(data: bytes, init: Init) -> Fragment:
    """Raises Malformed."""
    found = list(boxes(data))
    kinds = tuple(kind for kind, _ in found)
    moofs, mdats = [c for kind, c in found if kind == "moof"], [c for kind, c in found if kind == "mdat"]
    if not moofs or len(moofs) != len(mdats):
        raise Malformed(f"a segment of {kinds} is none")
    trafs = [traf for moof in moofs for traf in children(moof, "traf") if _number(traf) == init.number]
    if not trafs:
        raise Malformed("no traf of its track")
    runs = [_run(traf, init) for traf in trafs]
    tfdt = inside(trafs[0], "tfdt")
    if tfdt is None:
        raise Malformed("no tfdt")
    begins = struct.unpack_from(">Q" if tfdt[0] == 1 else ">I", tfdt, 4)[0] + runs[0].earliest - init.shift
    return Fragment(
        kinds=kinds,
        start=max(begins, 0),
        duration=sum(run.duration for run in runs) + min(begins, 0),
        samples=sum(run.samples for run in runs),
        is_sync=runs[0].is_sync,
        first=_first(data, mdats[0], runs[0]),
        is_encrypted=all(inside(traf, "senc") is not None for traf in trafs),
    )


def _first(data: bytes, mdat: bytes, run: _Run) -> bytes:
    """The first sample: where the run says, counted from its moof, else at the start of what there is."""
    if run.offset is None:
        return mdat[: run.first_size]
    at = data.index(b"moof") - 4 + run.offset
    return data[at : at + run.first_size]


def _number(traf: bytes) -> int:
    tfhd = inside(traf, "tfhd") or bytes(8)
    found: int = struct.unpack_from(">I", tfhd, 4)[0]
    return found


@dataclass(frozen=True, slots=True)
class _Run:
    """`earliest` is what is shown first, in ticks from the first sample's decoding."""

    duration: int
    samples: int
    is_sync: bool
    first_size: int
    earliest: int
    offset: int | None


def _run(traf: bytes, init: Init) -> _Run:
    tfhd, truns = inside(traf, "tfhd"), children(traf, "trun")
    if tfhd is None or not truns:
        raise Malformed("no tfhd and trun")
    given = int.from_bytes(tfhd[1:4], "big")
    at = 8 + 8 * bool(given & 1) + 4 * bool(given & 2)
    usual = {0x8: init.default_duration, 0x10: 0, 0x20: init.default_flags}
    for bit in usual:
        if given & bit:
            usual[bit], at = struct.unpack_from(">I", tfhd, at)[0], at + 4
    found = [_trun(trun, usual) for trun in truns]
    whole = sum(one.duration for one in found)
    return replace(found[0], duration=whole, samples=sum(one.samples for one in found))


def _trun(trun: bytes, usual: dict[int, int]) -> _Run:
    given, count = int.from_bytes(trun[1:4], "big"), struct.unpack_from(">I", trun, 4)[0]
    offset = struct.unpack_from(">i", trun, 8)[0] if given & 1 else None
    at, first_flags = 8 + 4 * bool(given & 1), None
    if given & 0x4:
        first_flags, at = struct.unpack_from(">I", trun, at)[0], at + 4
    duration, first_size, shown = 0, usual[0x10], []
    for n in range(count):
        told = {**usual, 0: 0}
        for bit, name in ((0x100, 0x8), (0x200, 0x10), (0x400, 0x20), (0x800, 0)):
            if given & bit:
                told[name], at = struct.unpack_from(">i" if trun[0] == 1 and not name else ">I", trun, at)[0], at + 4
        shown.append(duration + told[0])
        duration += told[0x8]
        if n == 0:
            first_size = told[0x10]
            first_flags = first_flags if first_flags is not None else told[0x20]
    return _Run(duration, count, not (first_flags or 0) & NOT_SYNC, first_size, min(shown, default=0), offset)
