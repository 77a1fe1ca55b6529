"""How a file is named and typed when it is served."""

from __future__ import annotations

from urllib.parse import quote

UNKNOWN = "application/octet-stream"

# Playlists: RFC 8216; segments and MPD: as registered with IANA. Anything else is bytes, never guessed from content.
CONTENT_TYPES: dict[str, str] = {
    "m3u8": "application/vnd.apple.mpegurl",
    "mpd": "application/dash+xml",
    "ts": "video/mp2t",
    "m4s": "video/iso.segment",
    "mp4": "video/mp4",
    "m4a": "audio/mp4",
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "ac3": "audio/ac3",
    "jpg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "zip": "application/zip",
    "json": "application/json",
    "vtt": "text/vtt",
    "srt": "application/x-subrip",
    "txt": "text/plain; charset=utf-8",
}


def content_type(filename: str) -> str:
    return CONTENT_TYPES.get(filename.rpartition(".")[2].lower(), UNKNOWN)


def disposition(filename: str, kind: str = "inline") -> str:
    """Shown in place (`inline`) or saved (`attachment`), under a name that cannot leave the header or a directory (RFC 6266)."""
    name = filename.replace("\\", "/").rpartition("/")[2]
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"%' else "_" for c in name) or "file"
    if plain == name:
        return f'{kind}; filename="{plain}"'
    encoded = quote(name.encode("utf-8", "replace"), safe="")
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{encoded}"
