"""The damaged films: whole ones of known length, cut, with bits turned, with holes, and with durations that are lies."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial

from tests.hostile.boxes import content, set_at
from tests.hostile.ground import H264, PICTURE, SOUND, encode

SECONDS = 4
PERCENTS = (1, 5, 20, 35, 50, 65, 80, 90, 97, 99)
Make = Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Damaged:
    name: str
    make: Make


def _long(arguments: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word.replace("duration=2", f"duration={SECONDS}") for word in arguments)


CONTAINERS: dict[str, tuple[str, ...]] = {
    "mp4": ("-movflags", "+faststart", "-f", "mp4"),
    "last": ("-f", "mp4"),
    "fragmented": ("-movflags", "+frag_keyframe+empty_moov+default_base_moof", "-f", "mp4"),
    "mkv": ("-f", "matroska"),
    "ts": ("-f", "mpegts"),
}


@cache
def film(kind: str) -> bytes:
    """Four seconds of moving picture and a tone; whole."""
    return encode((*_long(PICTURE), *_long(SOUND), *H264, *CONTAINERS[kind]))


def _cuts() -> Iterator[Damaged]:
    """At every percentage in the containers that tell how long they should be, at fewer in the others."""
    for kind, percents in (
        ("mp4", PERCENTS),
        ("mkv", PERCENTS),
        ("ts", PERCENTS[::3]),
        ("fragmented", PERCENTS[1::3]),
        ("last", (50, 99)),
    ):
        for percent in percents:
            yield Damaged(f"{kind} cut at {percent} %", partial(_cut, kind, percent))


def _cut(kind: str, percent: int) -> bytes:
    whole = film(kind)
    return whole[: len(whole) * percent // 100]


def _flips() -> Iterator[Damaged]:
    """One bit in many bytes, behind the headers: what is hit is picture and sound."""
    for kind in CONTAINERS:
        for seed, share in enumerate((0.00005, 0.001, 0.01)):
            yield Damaged(f"{kind} with bits turned, {share:g}", partial(_flipped, kind, seed, share))


def _flipped(kind: str, seed: int, share: float) -> bytes:
    chance, made = random.Random(seed), bytearray(film(kind))
    for _ in range(max(1, int(len(made) * share))):
        made[chance.randrange(len(made) // 20, len(made))] ^= 1 << chance.randrange(8)
    return bytes(made)


def _holes() -> Iterator[Damaged]:
    for kind in ("mp4", "mkv", "ts", "fragmented"):
        yield Damaged(f"{kind} with a hole of zeros", partial(_holed, kind))


def _holed(kind: str) -> bytes:
    whole = film(kind)
    begin, end = len(whole) * 45 // 100, len(whole) * 60 // 100
    return whole[:begin] + bytes(end - begin) + whole[end:]


def _gaps() -> Iterator[Damaged]:
    for kind in ("mp4", "mkv", "ts", "fragmented"):
        yield Damaged(f"{kind} of which a piece is missing", partial(_gapped, kind))


def _gapped(kind: str) -> bytes:
    whole = film(kind)
    return whole[: len(whole) * 45 // 100] + whole[len(whole) * 60 // 100 :]


def _lies() -> Iterator[Damaged]:
    """Durations in headers, half and three times as long as the truth; in Matroska as a float of milliseconds."""
    for factor in (0.5, 3.0):
        told = f"{factor:g} times the truth"
        yield Damaged(f"mp4 whose film header tells {told}", partial(_scaled, "moov/mvhd", 16, factor))
        yield Damaged(f"mp4 whose track header tells {told}", partial(_scaled, "moov/trak/tkhd", 20, factor))
        yield Damaged(f"mp4 whose media header tells {told}", partial(_scaled, "moov/trak/mdia/mdhd", 16, factor))
        yield Damaged(f"mkv whose header tells {told}", partial(_mkv_scaled, factor))


def _scaled(path: str, offset: int, factor: float) -> bytes:
    """`offset` of the 32-bit duration behind version and flags of the box's content (ISO/IEC 14496-12, 8.2.2, 8.3.2, 8.4.2)."""
    whole = film("mp4")
    (before,) = struct.unpack_from(">I", content(whole, path), offset)
    return set_at(whole, path, offset, struct.pack(">I", int(before * factor)))


def _mkv_scaled(factor: float) -> bytes:
    whole = bytearray(film("mkv"))
    at = whole.index(b"\x44\x89\x88") + 3
    (before,) = struct.unpack_from(">d", whole, at)
    struct.pack_into(">d", whole, at, before * factor)
    return bytes(whole)


FILMS: tuple[Damaged, ...] = (*_cuts(), *_flips(), *_holes(), *_gaps(), *_lies())
