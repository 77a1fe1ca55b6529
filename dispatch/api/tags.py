"""Entity tags: strong, from the version; a compressed answer carries the same tag with its coding behind. Pure text."""

from __future__ import annotations

import re
from collections.abc import Mapping

from protocol.errors import ErrorCode, ReelyardError

_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_CODED = re.compile(r"-(?:gzip|deflate)$")
_VERSION = re.compile(r"\d{1,18}", re.ASCII)


def tag_of(version: int) -> str:
    return f'"{version}"'


def coded(tag: str, coding: str) -> str:
    """The tag of the same version under a coding: other bytes, so another strong tag."""
    return f'{tag[:-1]}-{coding}"'


def held(if_none_match: str | None, tag: str) -> str | None:
    """The tag the client holds of this version, compared weakly as RFC 9110, 13.1.2 wants; None when it holds another."""
    if not if_none_match:
        return None
    if if_none_match.strip() == "*":
        return tag
    for _, opaque in _TAG.findall(if_none_match):
        if f'"{_CODED.sub("", opaque)}"' == tag:
            return f'"{opaque}"'
    return None


def wanted_versions(headers: Mapping[str, str], *, is_needed: bool = False) -> frozenset[int] | None:
    """The versions If-Match accepts, None for any. A weak tag never matches (RFC 9110, 13.1.1).

    Raises PRECONDITION_REQUIRED when the call needs the header and it is missing.
    """
    told = headers.get("If-Match")
    if told is None:
        if is_needed:
            raise ReelyardError(ErrorCode.PRECONDITION_REQUIRED)
        return None
    if told.strip() == "*":
        return None
    opaques = (_CODED.sub("", opaque) for weak, opaque in _TAG.findall(told) if not weak)
    return frozenset(int(opaque) for opaque in opaques if _VERSION.fullmatch(opaque))
