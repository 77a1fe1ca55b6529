"""How paths become keys of the bucket. Pure.

A key is the prefix and the path. Names that begin with a dot are the storage's own: the pieces of a file that grows lie
below `<path>/.pieces/`, each named by its offset, and `<target>/.promoting` stands while a target is filled.
"""

from __future__ import annotations

from protocol.storage import InvalidPath

LONGEST_KEY, LONGEST_COMPONENT = 1024, 255
"""What S3 takes, and the longest name that a local storage takes: a path that is fine here is fine everywhere."""

OWN = 64
"""Kept free at the end of the longest key for the names the storage adds itself."""

PIECES, PROMOTING, PROBE, TRIAL = "/.pieces/", "/.promoting", ".probe", ".trial-"
OFFSET_DIGITS, BEGUN = 16, "begun"

TYPES = {
    "aac": "audio/aac",
    "gif": "image/gif",
    "jpg": "image/jpeg",
    "json": "application/json",
    "m3u8": "application/vnd.apple.mpegurl",
    "m4a": "audio/mp4",
    "m4s": "video/iso.segment",
    "mkv": "video/x-matroska",
    "mov": "video/quicktime",
    "mp3": "audio/mpeg",
    "mp4": "video/mp4",
    "mpd": "application/dash+xml",
    "png": "image/png",
    "srt": "application/x-subrip",
    "ts": "video/mp2t",
    "txt": "text/plain; charset=utf-8",
    "vtt": "text/vtt; charset=utf-8",
    "webm": "video/webm",
    "webp": "image/webp",
}
"""What browsers and players are told, by the end of the name: links lead to the bucket, where nobody else tells it."""


def content_type(path: str) -> str:
    return TYPES.get(path.rpartition(".")[2].lower(), "application/octet-stream")


class Keys:
    """`prefix` has no slash at either end, or is empty."""

    def __init__(self, prefix: str) -> None:
        self._prefix = f"{prefix}/" if prefix else ""

    @property
    def root(self) -> str:
        return self._prefix

    def of(self, path: str) -> str:
        """Raises InvalidPath with the reason."""
        for name in path.split("/"):
            if fault := _fault(name):
                raise InvalidPath(path, fault)
        key = f"{self._prefix}{path}"
        if len(path.encode()) > LONGEST_KEY or len(key.encode()) > LONGEST_KEY - (OWN if self._prefix else 0):
            raise InvalidPath(path[:80], f"the path, with the prefix, is longer than {LONGEST_KEY} bytes")
        return key

    def below(self, prefix: str) -> str:
        """What the keys of everything below the path `prefix` begin with; empty is everything."""
        return f"{self.of(prefix)}/" if prefix else self._prefix

    def path(self, key: str) -> str:
        return key.removeprefix(self._prefix)

    def own(self, name: str) -> str:
        return f"{self._prefix}{name}"


def piece(key: str, offset: int) -> str:
    return f"{key}{PIECES}{offset:0{OFFSET_DIGITS}d}"


def _fault(name: str) -> str | None:
    if not name:
        return "an empty component, or a slash at an end; paths are relative, `a/b/c`"
    if name.startswith("."):
        return "a component that begins with a dot"
    if any(character < " " or character == "\x7f" for character in name):
        return "a control character"
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "not valid Unicode"
    return f"a component of more than {LONGEST_COMPONENT} bytes" if size > LONGEST_COMPONENT else None
