"""The headers of tus 1.0 (https://tus.io/protocols/resumable-upload), parsed and written. Pure; decides nothing else."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass

from protocol.errors import ErrorCode, ReelyardError

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,creation-defer-length,expiration,checksum,termination,concatenation"
ALGORITHMS: dict[str, int] = {"sha256": 32, "sha1": 20, "md5": 16}
"""Checksums a client may announce, with the length of their digests in bytes."""

BYTES_TYPE = "application/offset+octet-stream"
LONGEST_METADATA, MOST_ENTRIES, MOST_PARTS = 8192, 64, 1000
LONGEST_FILENAME = 255
Headers = Mapping[str, str]
_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)
_KEY = re.compile(r"[\x21-\x2b\x2d-\x7e]+", re.ASCII)
_UPLOAD_ID = re.compile(r"upl_[0-9a-z]{1,40}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Checksum:
    algorithm: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Creation:
    """What a client asks for: `size` None is told later; `parts` are the uploads to be put together, in their order."""

    size: int | None
    metadata: str
    filename: str
    is_partial: bool = False
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """What a PATCH brings: bytes from `offset`; `size` when it tells the upload's, `length` when it tells its own."""

    offset: int
    length: int | None = None
    size: int | None = None
    checksum: Checksum | None = None


def invalid(header: str, problem: str) -> ReelyardError:
    return ReelyardError(ErrorCode.UPLOAD_HEADER_INVALID, f"{header} {problem}", details={"header": header})


def check_version(headers: Headers) -> None:
    if headers.get("Tus-Resumable") != VERSION:
        raise ReelyardError(ErrorCode.TUS_VERSION)


def creation(headers: Headers) -> Creation:
    """Raises UPLOAD_HEADER_INVALID."""
    metadata = headers.get("Upload-Metadata", "")
    filename = filename_of(entries(metadata))
    kind, _, listed = headers.get("Upload-Concat", "").partition(";")
    size = _size(headers)
    if kind == "final":
        if size is not None or "Upload-Defer-Length" in headers:
            raise invalid("Upload-Length", "is not sent for a final upload: it follows from its parts")
        return Creation(None, metadata, filename, parts=_parts(listed))
    if kind not in ("", "partial") or listed:
        raise invalid("Upload-Concat", "is either partial, or final; and the URLs of the parts")
    if size is None and headers.get("Upload-Defer-Length") != "1":
        raise invalid("Upload-Length", "is missing: send it, or Upload-Defer-Length: 1")
    if size is not None and "Upload-Defer-Length" in headers:
        raise invalid("Upload-Defer-Length", "is not sent together with Upload-Length")
    return Creation(size, metadata, filename, is_partial=kind == "partial")


def piece(headers: Headers, *, length: int | None) -> Piece:
    """`length` is the body's, where it is known."""
    offset = _number(headers, "Upload-Offset")
    if offset is None:
        raise invalid("Upload-Offset", "is missing")
    return Piece(offset, length, _size(headers), checksum(headers))


def checksum(headers: Headers) -> Checksum | None:
    told = headers.get("Upload-Checksum")
    if told is None:
        return None
    algorithm, _, text = told.strip().partition(" ")
    if algorithm not in ALGORITHMS:
        raise invalid("Upload-Checksum", f"names no algorithm this server knows: {', '.join(ALGORITHMS)}")
    digest = _base64(text)
    if digest is None or len(digest) != ALGORITHMS[algorithm]:
        raise invalid("Upload-Checksum", f"is not the Base64 of a {algorithm} digest")
    return Checksum(algorithm, digest)


def entries(metadata: str) -> dict[str, bytes]:
    """`key base64,key base64`; a key alone has an empty value. Raises UPLOAD_HEADER_INVALID."""
    if len(metadata) > LONGEST_METADATA:
        raise invalid("Upload-Metadata", f"is longer than {LONGEST_METADATA} bytes")
    found: dict[str, bytes] = {}
    for pair in metadata.split(",") if metadata.strip() else ():
        key, _, text = pair.strip().partition(" ")
        value = _base64(text)
        if not _KEY.fullmatch(key) or key in found:
            raise invalid("Upload-Metadata", "has a key that is empty, not plain ASCII, or there already")
        if value is None:
            raise invalid("Upload-Metadata", f"has a value that is not Base64: {key[:60]}")
        found[key] = value
    if len(found) > MOST_ENTRIES:
        raise invalid("Upload-Metadata", f"has more than {MOST_ENTRIES} entries")
    return found


def filename_of(told: Mapping[str, bytes]) -> str:
    """What the clients of tus call `filename` or `name`, without any directory; `upload` when there is none."""
    text = (told.get("filename") or told.get("name") or b"").decode(errors="replace")
    name = text.replace("\\", "/").rpartition("/")[2]
    return "".join(character for character in name if character.isprintable())[-LONGEST_FILENAME:] or "upload"


def _parts(listed: str) -> tuple[str, ...]:
    """URLs, whole or relative to this server; their last component is the upload's id."""
    found = tuple(url.rstrip("/").rpartition("/")[2] for url in listed.split())
    if not 1 <= len(found) <= MOST_PARTS or not all(_UPLOAD_ID.fullmatch(part) for part in found):
        raise invalid("Upload-Concat", f"names 1 to {MOST_PARTS} partial uploads by their URLs: final;URL URL")
    return found


def _size(headers: Headers) -> int | None:
    return _number(headers, "Upload-Length")


def _number(headers: Headers, name: str) -> int | None:
    text = headers.get(name)
    if text is None:
        return None
    if not _NUMBER.fullmatch(text):
        raise invalid(name, "is not a whole number of bytes")
    return int(text)


def _base64(text: str) -> bytes | None:
    try:
        return base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
