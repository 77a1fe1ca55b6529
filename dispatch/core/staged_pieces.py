"""The headers of a staging PUT that may be gone on with. Pure: without them it is one file in one request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from dispatch.core.tus import invalid
from protocol.storage import Written

OFFSET, LENGTH, DIGEST = "Staged-Offset", "Staged-Length", "Staged-Digest"
ASKS = "*"
"""As an offset: the bytes are not sent yet, it is only asked how many are there."""

_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class StagedPiece:
    """Bytes from `offset` of a file; `whole` is what the file is once they are there, told with the last piece."""

    offset: int
    whole: Written | None = None


def piece_of(headers: Mapping[str, str]) -> StagedPiece | None:
    """None for a question. Raises UPLOAD_HEADER_INVALID."""
    if headers[OFFSET] == ASKS:
        return None
    offset, digest = _number(headers, OFFSET), headers.get(DIGEST)
    if digest is None:
        return StagedPiece(offset)
    if not _SHA256.fullmatch(digest):
        raise invalid(DIGEST, "must be the SHA-256 of the whole file, in 64 hex digits")
    if LENGTH not in headers:
        raise invalid(LENGTH, f"is missing beside {DIGEST}: the last piece tells both")
    return StagedPiece(offset, Written(_number(headers, LENGTH), digest))


def _number(headers: Mapping[str, str], name: str) -> int:
    value = headers.get(name, "")
    if not _NUMBER.fullmatch(value):
        raise invalid(name, "must be a number of bytes")
    return int(value)
