"""What a playlist comes down to: the pieces of one or two tracks, in order. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urljoin

from engine.core.fetching import InputFailed, Span
from protocol.errors import ErrorCode

MOST_PIECES = 50_000
"""Of one track: 24 h of pieces of two seconds each, and some."""

MAX_PLAYLIST_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Key:
    """AES-128-CBC: where the 16 bytes of the key are, and the initialization vector."""

    url: str
    iv: bytes


@dataclass(frozen=True, slots=True)
class Piece:
    """One request: a file, or a span of it, perhaps encrypted. An optional one may be missing on its server."""

    url: str
    span: Span | None = None
    key: Key | None = None
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class Track:
    """Joined end to end, the pieces are one file of this `ending`."""

    pieces: tuple[Piece, ...]
    ending: str


def refused(reason: str) -> InputFailed:
    return InputFailed(ErrorCode.INPUT_PLAYLIST, reason)


def joined(base: str, reference: str) -> str:
    """The URL that a reference in a playlist means; it is checked when it is fetched."""
    try:
        return urljoin(base, reference)
    except ValueError:
        raise refused("the playlist refers to a malformed URL") from None


def kind_of(head: bytes) -> str | None:
    """`hls` or `dash` by the first bytes of a file, whatever its name; None for anything else."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"#EXTM3U"):
        return "hls"
    return "dash" if text.startswith(b"<") and b"<MPD" in text else None
