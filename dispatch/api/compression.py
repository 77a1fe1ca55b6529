"""Answers of JSON under the coding the client prefers (RFC 9110, 12.5.3): gzip, deflate, or as they are."""

from __future__ import annotations

import asyncio
import re
import zlib
from functools import lru_cache

from aiohttp import web

from dispatch.api.tags import coded

LEAST_BYTES = 1024
"""A shorter answer fits one packet either way."""

IN_A_THREAD = 1 << 16
"""zlib takes about 1 ms for so many bytes of JSON; longer ones must not hold the loop."""

LEVEL = 4
_WBITS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
_ELEMENT = re.compile(r"\s*([!#-+\-.^-z|~\w*]+)\s*(?:;\s*[qQ]=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?))?\s*", re.ASCII)
_MOST_ELEMENTS = 20


@lru_cache(maxsize=256)
def coding_for(accepted: str, *, is_long: bool) -> str | None:
    """`gzip`, `deflate`, or None for the answer as it is, which is also given when nothing the client takes is known."""
    weights = _weights(accepted)
    other = weights.get("*", 0.0)
    best, quality = None, 0.0
    for coding in _WBITS:
        if weights.get(coding, other) > quality:
            best, quality = coding, weights.get(coding, other)
    plain = weights.get("identity", weights.get("*"))
    if plain is not None and plain > quality:
        return None
    return best if is_long or plain == 0.0 else None


def _weights(accepted: str) -> dict[str, float]:
    found = (_ELEMENT.fullmatch(element) for element in accepted.split(",", _MOST_ELEMENTS)[:_MOST_ELEMENTS])
    return {match[1].lower().removeprefix("x-"): float(match[2] or 1) for match in found if match is not None}


def compressed(body: bytes, coding: str) -> bytes:
    """The same bytes for the same body, every time: the tag of the answer is strong."""
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, _WBITS[coding])
    return packer.compress(body) + packer.flush()


async def encode(request: web.Request, answer: web.StreamResponse) -> web.StreamResponse:
    """The answer under the coding it may have: JSON alone, and never what must not be stored, for that is a secret."""
    if not isinstance(answer, web.Response) or answer.content_type != "application/json":
        return answer
    body = answer.body
    if not isinstance(body, bytes) or "no-store" in answer.headers.get("Cache-Control", ""):
        return answer
    answer.headers.add("Vary", "Accept-Encoding")
    coding = coding_for(request.headers.get("Accept-Encoding", "identity"), is_long=len(body) >= LEAST_BYTES)
    if coding is None:
        return answer
    answer.body = await asyncio.to_thread(compressed, body, coding) if len(body) > IN_A_THREAD else compressed(body, coding)
    answer.headers["Content-Encoding"] = coding
    if "ETag" in answer.headers:
        answer.headers["ETag"] = coded(answer.headers["ETag"], coding)
    return answer
