"""A client's own thumbnail: what it is by its first bytes, how large its picture is, where it lies and goes. Pure."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import orjson

from dispatch.core.records import Job
from protocol.errors import ErrorCode, ReelyardError

MOST_BYTES, LARGEST_SIDE = 5_000_000, 8192
HEAD_BYTES = 1 << 20
"""Give so many of the first bytes: a JPEG may carry profiles and previews before it tells its size."""

# The markers of JPEG (ITU T.81, B.1.1.3) that carry the picture's size: SOF0 to SOF15, without DHT, JPG and DAC.
_SIZED = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BARE = frozenset({0x01, *range(0xD0, 0xD9)})


@dataclass(frozen=True, slots=True)
class Picture:
    """`type` is jpg, png or webp; `path` is where it lies in the storage."""

    path: str
    size: int
    sha256: str
    type: str


def type_of(head: bytes) -> str | None:
    if head.startswith(b"\xff\xd8\xff"):
        return "jpg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    return "webp" if head[:4] == b"RIFF" and head[8:12] == b"WEBP" else None


def checked_type(head: bytes, *, size: int) -> str:
    """The type of a picture that may be a thumbnail. Raises VALIDATION_FAILED."""
    if size > MOST_BYTES:
        raise refused(f"is larger than {MOST_BYTES} bytes")
    type_ = type_of(head)
    if type_ is None:
        raise refused("is no JPEG, PNG or WebP picture")
    sides = _SIDES[type_](head)
    if sides is None or not all(sides):
        raise refused("does not tell how large its picture is")
    if max(sides) > LARGEST_SIDE:
        raise refused(f"is {sides[0]}x{sides[1]}; at most {LARGEST_SIDE} pixels a side")
    return type_


def refused(problem: str) -> ReelyardError:
    problems = [{"field": "thumbnail", "problem": problem}]
    return ReelyardError(ErrorCode.VALIDATION_FAILED, f"thumbnail: {problem}", details={"problems": problems})


def path_of(root: str, job_id: str, type_: str) -> str:
    return f"{root}/raw/{job_id}_thumbnail.{type_}"


def published_name(picture: Picture) -> str:
    return f"thumbnails/thumb_custom.{picture.type}"


def stored(picture: Picture) -> str:
    told = {"path": picture.path, "size": picture.size, "sha256": picture.sha256, "type": picture.type}
    return orjson.dumps(told).decode()


def of_job(job: Job) -> Picture | None:
    if job.thumbnail_json is None:
        return None
    told = orjson.loads(job.thumbnail_json)
    return Picture(told["path"], told["size"], told["sha256"], told["type"])


def _png(head: bytes) -> tuple[int, int] | None:
    if head[12:16] != b"IHDR" or len(head) < 24:
        return None
    width, height = struct.unpack_from(">II", head, 16)
    return width, height


def _jpeg(head: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(head) and head[at] == 0xFF:
        marker = head[at + 1]
        if marker == 0xFF or marker in _BARE:
            at += 1 if marker == 0xFF else 2
            continue
        if marker in _SIZED:
            height, width = struct.unpack_from(">HH", head, at + 5)
            return width, height
        at += 2 + int.from_bytes(head[at + 2 : at + 4], "big")
    return None


def _webp(head: bytes) -> tuple[int, int] | None:
    """RFC 9649, 2: the first chunk is VP8 (a lossy frame), VP8L (lossless) or VP8X (extended)."""
    if len(head) < 30:
        return None
    match head[12:16]:
        case b"VP8 " if head[23:26] == b"\x9d\x01\x2a":
            width, height = struct.unpack_from("<HH", head, 26)
            return width & 0x3FFF, height & 0x3FFF
        case b"VP8L" if head[20] == 0x2F:
            bits = int.from_bytes(head[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8X":
            return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    return None


_SIDES = {"jpg": _jpeg, "png": _png, "webp": _webp}
