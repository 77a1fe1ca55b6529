"""Signed links: an HMAC over method, prefix, expiry and tenant stands in the path, so relative names in playlists work.

`/files/s/<signature>.<expiry>/<path>` holds for every path below the signed prefix. The tenant is the first component
of the path (`staging` for what engines stage, `inputs` for what they read).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator

from protocol.errors import ErrorCode, ReelyardError


def _mac(secret: bytes, method: str, prefix: str, expiry: int) -> str:
    tenant = prefix.split("/", 1)[0]
    text = "\n".join((method, prefix, str(expiry), tenant)).encode()
    digest = hmac.new(secret, text, hashlib.sha256).digest()[:24]
    return base64.urlsafe_b64encode(digest).decode()


def sign(secret: bytes, *, method: str, prefix: str, expiry: int) -> str:
    """The path component `<signature>.<expiry>` for everything at or below `prefix`; `expiry` is a Unix time."""
    return f"{_mac(secret, method, prefix, expiry)}.{expiry}"


def _prefixes(path: str) -> Iterator[str]:
    parts = path.split("/")
    for n in range(len(parts), 0, -1):
        yield "/".join(parts[:n])


def check(secret: bytes, signature: str, *, method: str, path: str, now: float) -> None:
    """Raise LINK_INVALID or LINK_EXPIRED unless `signature` covers `path`. HEAD is covered by a link for GET."""
    mac, _, expiry = signature.rpartition(".")
    if not expiry.isascii() or not expiry.isdigit() or len(expiry) > 12:
        raise ReelyardError(ErrorCode.LINK_INVALID)
    asked = "GET" if method == "HEAD" else method
    candidates = [_mac(secret, asked, prefix, int(expiry)) for prefix in _prefixes(path)]
    if not any(hmac.compare_digest(mac.encode(), candidate.encode()) for candidate in candidates):
        raise ReelyardError(ErrorCode.LINK_INVALID)
    if now > int(expiry):
        raise ReelyardError(ErrorCode.LINK_EXPIRED)
