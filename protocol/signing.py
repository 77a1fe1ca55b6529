"""Signed links: an HMAC over method, prefix, expiry and tenant stands in the path, so relative names in playlists work.

`/files/s/<signature>.<expiry>/<path>` holds for every path below the signed prefix. The tenant stands in it by the
directory of its files, the first component of the path (`staging` for what engines stage, `inputs` for what they read).
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from protocol.errors import ErrorCode, ReelyardError

# A job's own paths have at most 150 names (300 characters); each name of an asked path costs one HMAC before anybody
# is known, so a path of thousands must not be tried.
MOST_NAMES = 160


def _mac(secret: bytes, method: str, prefix: str, expiry: int) -> str:
    tenant = prefix.split("/", 1)[0]
    text = "\n".join((method, prefix, str(expiry), tenant)).encode()
    digest = hmac.new(secret, text, hashlib.sha256).digest()[:24]
    return base64.urlsafe_b64encode(digest).decode()


def sign(secret: bytes, *, method: str, prefix: str, expiry: int) -> str:
    """The path component `<signature>.<expiry>` for everything at or below `prefix`; `expiry` is a Unix time.

    Raises ValueError for a prefix no path can lie below: empty, with a slash at an end, with `.` or `..`.
    """
    if not _is_plain(prefix):
        raise ValueError(f"cannot sign {prefix!r}: a prefix is names joined by `/`")
    return f"{_mac(secret, method, prefix, expiry)}.{expiry}"


def _is_plain(path: str) -> bool:
    """Whether the path says what it means: `a/../b` lies below `a` by its text, and elsewhere once it is resolved."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    names = path.split("/")
    return len(names) <= MOST_NAMES and not any(name in ("", ".", "..") for name in names)


def _prefixes(path: str) -> list[str]:
    names = path.split("/")
    return ["/".join(names[:count]) for count in range(len(names), 0, -1)]


def check(secret: bytes, signature: str, *, method: str, path: str, now: float) -> None:
    """Raise LINK_INVALID or LINK_EXPIRED unless `signature` covers `path`. HEAD is covered by a link for GET."""
    mac, _, expiry = signature.rpartition(".")
    if not signature.isascii() or not expiry.isdigit() or len(expiry) > 12 or not _is_plain(path):
        raise ReelyardError(ErrorCode.LINK_INVALID)
    asked = "GET" if method == "HEAD" else method
    candidates = [_mac(secret, asked, prefix, int(expiry)) for prefix in _prefixes(path)]
    if not any(hmac.compare_digest(mac, candidate) for candidate in candidates):
        raise ReelyardError(ErrorCode.LINK_INVALID)
    if now > int(expiry):
        raise ReelyardError(ErrorCode.LINK_EXPIRED)
