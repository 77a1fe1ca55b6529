"""What a file is, by its first bytes. Names are never believed."""

from __future__ import annotations

SNIFF_BYTES = 4096
_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"\x1aE\xdf\xa3", "matroska"),
    (b"FLV\x01", "flv"),
    (b"OggS", "ogg"),
    (b"fLaC", "flac"),
    (b"ID3", "mp3"),
    (b"0&\xb2u\x8ef\xcf\x11", "asf"),
    (b"\x00\x00\x01\xba", "mpeg"),
    (b"\x00\x00\x01\xb3", "mpegvideo"),
    (b"\x06\x0e\x2b\x34\x02\x05\x01\x01", "mxf"),
)
_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp"})
TS_PACKET, M2TS_PACKET = 188, 192


def container_of(head: bytes) -> str | None:
    """The container's name, or None when the bytes are no media this server reads. Give SNIFF_BYTES where there are."""
    for start, name in _STARTS:
        if head.startswith(start):
            return name
    if head[4:8] in _BOXES:
        return "mov"
    if head[:4] == b"RIFF":
        return {b"AVI ": "avi", b"WAVE": "wav"}.get(head[8:12])
    if _is_mpegts(head):
        return "mpegts"
    if len(head) > 2 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        return "mp3" if head[1] & 0x06 else "aac"
    return None


def _is_mpegts(head: bytes) -> bool:
    """Sync bytes at packet distance; M2TS puts four bytes of time before each packet."""
    for offset, length in ((0, TS_PACKET), (4, M2TS_PACKET)):
        places = range(offset, min(len(head), offset + 5 * length), length)
        if len(places) >= 2 and all(head[place] == 0x47 for place in places):
            return True
    return False


def refusal(head: bytes) -> str | None:
    """Why these first bytes cannot be an input, in one sentence; None when they can."""
    if not head:
        return "the file is empty"
    if container_of(head) is None:
        return "the file is not a media container this server reads (mp4, mov, mkv, webm, avi, flv, wmv, ts, mpeg, mxf, ogg)"
    return None
