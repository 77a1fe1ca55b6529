"""Which pages of other origins may read answers. Off unless configured; media may have origins of its own."""

from __future__ import annotations

import re
from collections.abc import Iterable

from aiohttp import web

from protocol.operations import API

EXPOSED = ", ".join(
    (
        "ETag",
        "Location",
        "Content-Range",
        "Content-Disposition",
        "Accept-Ranges",
        "RateLimit-Limit",
        "RateLimit-Remaining",
        "RateLimit-Reset",
        "Retry-After",
        "X-Request-Id",
        "Idempotent-Replayed",
        "Upload-Offset",
        "Upload-Length",
        "Upload-Expires",
        "Upload-Metadata",
        "Upload-Concat",
        "Upload-Direct",
        "Tus-Resumable",
        "Tus-Version",
        "Tus-Extension",
        "Tus-Max-Size",
        "Tus-Checksum-Algorithm",
    )
)
ALLOWED = ", ".join(
    (
        "Authorization",
        "X-API-Key",
        "Content-Type",
        "Idempotency-Key",
        "If-Match",
        "If-None-Match",
        "If-Range",
        "Range",
        "Last-Event-ID",
        "X-Request-Id",
        "Tus-Resumable",
        "Upload-Length",
        "Upload-Offset",
        "Upload-Metadata",
        "Upload-Defer-Length",
        "Upload-Concat",
        "Upload-Checksum",
        "X-HTTP-Method-Override",
    )
)
PREFLIGHT_S = "600"
_MEDIA = re.compile(rf"/files/(s|live)/|{API}/jobs/[^/]+/files/|{API}/playback/")


class Origins:
    """`*` is any origin, and then without credentials."""

    def __init__(self, origins: Iterable[str], playback_origins: Iterable[str]) -> None:
        self._api = frozenset(origins)
        self._media = self._api | frozenset(playback_origins)

    @property
    def is_any(self) -> bool:
        return bool(self._media)

    def dress(self, request: web.Request, answer: web.StreamResponse) -> None:
        """The headers that let the asking page read this answer, or none."""
        known = self._media if _MEDIA.match(request.path) else self._api
        if not known:
            return
        if "*" not in known:
            answer.headers.add("Vary", "Origin")
        origin = request.headers.get("Origin")
        if origin is None or not ("*" in known or origin in known):
            return
        answer.headers.update(_allowed(origin, is_any="*" in known))
        asked = request.headers.get("Access-Control-Request-Method")
        if request.method == "OPTIONS" and asked is not None:
            answer.headers["Access-Control-Allow-Methods"] = answer.headers.get("Allow", asked)
            answer.headers["Access-Control-Allow-Headers"] = ALLOWED
            answer.headers["Access-Control-Max-Age"] = PREFLIGHT_S


def _allowed(origin: str, *, is_any: bool) -> dict[str, str]:
    if is_any:
        return {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": EXPOSED}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Expose-Headers": EXPOSED,
    }
