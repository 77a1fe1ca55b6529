"""The headers of tus and the heads of pictures, read without any I/O."""

from __future__ import annotations

import struct

import pytest

from dispatch.core import thumbnails, tus
from dispatch.core.tus import Checksum, Creation, Piece
from protocol.errors import ErrorCode, ReelyardError


def test_a_creation_is_read() -> None:
    parts = "final;http://host/api/v1/uploads/upl_a /api/v1/uploads/upl_b/"

    assert tus.creation({"Upload-Length": "7"}) == Creation(7, "", "upload")
    assert tus.creation({"Upload-Defer-Length": "1", "Upload-Concat": "partial"}) == Creation(None, "", "upload", is_partial=True)
    assert tus.creation({"Upload-Concat": parts}) == Creation(None, "", "upload", parts=("upl_a", "upl_b"))


def test_a_piece_is_read() -> None:
    headers = {"Upload-Offset": "3", "Upload-Length": "9", "Upload-Checksum": "md5 AAAAAAAAAAAAAAAAAAAAAA=="}

    assert tus.piece(headers, length=6) == Piece(3, 6, 9, Checksum("md5", bytes(16)))


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ("", "upload"),
        ("filename YS5tcDQ=", "a.mp4"),
        ("name YS5tcDQ=,type dmlkZW8=", "a.mp4"),
        ("filename Li4vLi4vZXRjL3Bhc3N3ZA==", "passwd"),
        ("filename QzpcdmlkZW9zXGEubXA0", "a.mp4"),
        ("filename YQoAYi5tcDQ=", "ab.mp4"),
        ("filename //4=", "��"),
        ("filename", "upload"),
    ],
)
def test_a_filename_leads_nowhere(metadata: str, expected: str) -> None:
    assert tus.creation({"Upload-Length": "1", "Upload-Metadata": metadata}).filename == expected


@pytest.mark.parametrize(
    "metadata",
    ["a b c", "a YQ==,,b", ",", "ä YQ==", "a YQ", "a " + "A" * 9000, ",".join(f"k{n}" for n in range(65))],
)
def test_metadata_is_refused_whole(metadata: str) -> None:
    with pytest.raises(ReelyardError) as refused:
        tus.entries(metadata)

    assert (refused.value.code, refused.value.details) == (ErrorCode.UPLOAD_HEADER_INVALID, {"header": "Upload-Metadata"})


def jpeg(*segments: bytes, width: int = 640, height: int = 360, marker: int = 0xC2) -> bytes:
    frame = bytes([0xFF, marker, 0, 11, 8]) + struct.pack(">HH", height, width) + bytes(4)
    return b"\xff\xd8" + b"".join(segments) + frame + bytes(50)


def webp(kind: bytes, body: bytes) -> bytes:
    return b"RIFF\x64\0\0\0WEBP" + kind + b"\x1e\0\0\0" + body + bytes(40)


ICC = b"\xff\xe2" + struct.pack(">H", 60_000) + bytes(59_998)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (jpeg(), "jpg"),
        (jpeg(ICC, ICC, marker=0xC0), "jpg"),
        (jpeg(b"\xff\xff\xfe\0\4ab"), "jpg"),
        (webp(b"VP8 ", b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 640, 360)), "webp"),
        (webp(b"VP8L", b"\x2f" + (639 | 359 << 14).to_bytes(4, "little")), "webp"),
        (webp(b"VP8X", bytes(4) + (8191).to_bytes(3, "little") + (8191).to_bytes(3, "little")), "webp"),
    ],
)
def test_a_picture_is_known_by_its_bytes(head: bytes, expected: str) -> None:
    assert thumbnails.checked_type(head, size=len(head)) == expected


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\xff\xd8\xff",
        jpeg(width=8193),
        jpeg(height=0),
        b"\xff\xd8\xff\xc4" + bytes(100),
        b"\xff\xd8" + ICC,
        webp(b"VP8X", bytes(4) + (8192).to_bytes(3, "little") + bytes(3)),
        webp(b"ALPH", bytes(20)),
        b"\x89PNG\r\n\x1a\n",
        b"\x89PNG\r\n\x1a\n\0\0\0\x0dIDAT" + bytes(40),
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    ],
)
def test_a_picture_that_does_not_tell_its_size_or_is_too_large_is_refused(head: bytes) -> None:
    with pytest.raises(ReelyardError, match="thumbnail"):
        thumbnails.checked_type(head, size=len(head))
