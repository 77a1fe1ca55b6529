"""Matroska by hand, around a few real JPEG pictures."""

from __future__ import annotations

import struct

from tests.hostile.ground import HEIGHT, RATE, SECONDS, WIDTH, clip

UNKNOWN = b"\x01" + b"\xff" * 7
EBML, SEGMENT, INFO, TRACKS, CLUSTER, TAGS, ATTACHMENTS = (
    0x1A45DFA3,
    0x18538067,
    0x1549A966,
    0x1654AE6B,
    0x1F43B675,
    0x1254C367,
    0x1941A469,
)


def identifier(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def size(length: int) -> bytes:
    return (length | 1 << 56).to_bytes(8, "big")


def element(number: int, content: bytes, *, length: bytes | None = None) -> bytes:
    """One element; `length` is what it says of itself, where that is a lie."""
    return identifier(number) + (size(len(content)) if length is None else length) + content


def whole(number: int, value: int, width: int = 8) -> bytes:
    return element(number, (value % (1 << 8 * width)).to_bytes(width, "big"))


def real(number: int, value: float) -> bytes:
    return element(number, struct.pack(">d", value))


HEADER = element(EBML, element(0x4282, b"matroska") + whole(0x4287, 4, 1) + whole(0x4285, 2, 1))


def track(number: int = 1, codec: bytes = b"V_MJPEG", *, width: int = WIDTH, height: int = HEIGHT, more: bytes = b"") -> bytes:
    picture = element(0xE0, whole(0xB0, width) + whole(0xBA, height))
    head = whole(0xD7, number, 2) + whole(0x73C5, number, 2) + whole(0x83, 1, 1) + element(0x86, codec)
    return element(0xAE, head + whole(0x23E383, 10**9 // RATE) + picture + more)


def block(moment: int, frame: bytes, *, number: int = 1, flags: int = 0x80) -> bytes:
    return element(0xA3, bytes([0x80 | number]) + (moment % 65536).to_bytes(2, "big") + bytes([flags]) + frame)


def blocks(frame: bytes | None = None) -> bytes:
    """Two seconds of pictures, one block each."""
    shown = clip("jpeg") if frame is None else frame
    return b"".join(block(n * 1000 // RATE, shown) for n in range(SECONDS * RATE))


def cluster(content: bytes | None = None, *, moment: int = 0) -> bytes:
    return element(CLUSTER, whole(0xE7, moment) + (blocks() if content is None else content))


def matroska(
    *,
    info: bytes = b"",
    tracks: bytes | None = None,
    clusters: bytes | None = None,
    more: bytes = b"",
    seconds: float = SECONDS,
    scale: int = 1_000_000,
) -> bytes:
    """A whole file. `more` stands before the tracks, `info` within the information."""
    about = element(INFO, whole(0x2AD7B1, scale) + real(0x4489, seconds * 1000) + info)
    found = element(TRACKS, track() if tracks is None else tracks)
    return HEADER + element(SEGMENT, about + more + found + (cluster() if clusters is None else clusters))
