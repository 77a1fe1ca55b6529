"""Reads MPEG transport streams as far as rules need it: ISO/IEC 13818-1, and the NAL units of H.264 and HEVC."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

PACKET, SYNC = 188, 0x47
CODECS = {0x1B: "avc1", 0x24: "hvc1", 0x0F: "mp4a", 0x03: "mp4a", 0x04: "mp4a", 0x81: "ac-3", 0x87: "ec-3"}
"""What stream types are called in CODECS."""

_START = re.compile(b"\x00\x00\x01")


class NotTransport(ValueError):
    """No transport stream."""


@dataclass(frozen=True, slots=True)
class Segment:
    """`codecs` without their profiles, but `avc` (PPCCLL). `start` is the first time shown, in seconds."""

    codecs: frozenset[str]
    avc: str | None
    is_key: bool
    start: Fraction


def segment_of(data: bytes) -> Segment:
    """Raises NotTransport."""
    if not data or len(data) % PACKET or any(data[at] != SYNC for at in range(0, len(data), PACKET)):
        raise NotTransport("no whole packets of 188 bytes")
    sections: dict[int, bytes] = {}
    pes: dict[int, bytearray] = {}
    ended: set[int] = set()
    for pid, begins, payload in _payloads(data):
        if begins and pid in pes:
            ended.add(pid)
        elif begins:
            pes[pid] = bytearray(payload)
            sections.setdefault(pid, payload)
        elif pid in pes and pid not in ended:
            pes[pid] += payload
    streams = _streams(sections)
    pictures = [pid for pid, kind in streams.items() if kind in (0x1B, 0x24)]
    lead = (pictures or list(streams))[0]
    units = list(_units(bytes(pes.get(lead, b"")))) if pictures else []
    return Segment(
        codecs=frozenset(CODECS.get(kind, f"0x{kind:02x}") for kind in streams.values()),
        avc=next((unit[1:4].hex() for unit in units if streams[lead] == 0x1B and unit[0] & 31 == 7), None),
        is_key=not pictures or begins_with_key(units, "avc1" if streams[lead] == 0x1B else "hvc1"),
        start=_shown(bytes(pes.get(lead, b""))),
    )


def _payloads(data: bytes) -> Iterator[tuple[int, bool, bytes]]:
    for at in range(0, len(data), PACKET):
        packet = data[at : at + PACKET]
        control = packet[3] >> 4 & 3
        head = 4 + (packet[4] + 1 if control & 2 else 0)
        if control & 1:
            yield (packet[1] & 0x1F) << 8 | packet[2], bool(packet[1] & 0x40), packet[head:]


def _streams(sections: dict[int, bytes]) -> dict[int, int]:
    """Stream type by PID, as PAT and PMT tell it."""
    pat = sections.get(0, b"")
    if len(pat) < 14:
        raise NotTransport("no PAT at the start")
    pmt = sections.get((pat[11 + pat[0]] & 0x1F) << 8 | pat[12 + pat[0]])
    if pmt is None:
        raise NotTransport("no PMT at the start")
    pmt = pmt[1 + pmt[0] :]
    end, at = 3 + ((pmt[1] & 0xF) << 8 | pmt[2]) - 4, 12 + ((pmt[10] & 0xF) << 8 | pmt[11])
    streams = {}
    while at + 5 <= end:
        streams[(pmt[at + 1] & 0x1F) << 8 | pmt[at + 2]] = pmt[at]
        at += 5 + ((pmt[at + 3] & 0xF) << 8 | pmt[at + 4])
    if not streams:
        raise NotTransport("a PMT without streams")
    return streams


def _units(pes: bytes) -> Iterator[bytes]:
    """The NAL units of a PES packet, in Annex B form."""
    starts = [found.end() for found in _START.finditer(pes, 9 + pes[8] if len(pes) > 8 else 0)]
    for start, end in zip(starts, [*starts[1:], len(pes)], strict=True):
        if start < end:
            yield pes[start:end]


def begins_with_key(units: list[bytes], codec: str) -> bool:
    """Whether the first slice is one of an IDR picture (of HEVC: of any picture that decoding can begin with)."""
    kinds = [unit[0] & 31 if codec.startswith("avc") else unit[0] >> 1 & 63 for unit in units]
    if codec.startswith("avc"):
        return next((kind for kind in kinds if 1 <= kind <= 5), None) == 5
    return next((kind for kind in kinds if kind <= 31), -1) in range(16, 22)


def _shown(pes: bytes) -> Fraction:
    if len(pes) < 14 or not pes[7] & 0x80:
        raise NotTransport("the first picture has no time")
    ticks = (pes[9] >> 1 & 7) << 30 | pes[10] << 22 | (pes[11] >> 1) << 15 | pes[12] << 7 | pes[13] >> 1
    return Fraction(ticks, 90_000)
