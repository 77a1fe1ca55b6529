"""How a job's outputs are played: one link that carries everything, and where players get keys and licences."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from protocol.base import Identifier, Message
from protocol.packaging import DrmSystem, ProtectionScheme

PLAY, PLAY_PROTECTED = "PLAY", "PLAY-PROTECTED"
"""What links of playback are signed for, in the place of a method. The first opens what a job made below its prefix; the
second, for jobs that are encrypted, only what is encrypted and what belongs to it, and keys and licences.
"""

KEYS, LICENCES = "key", "licence"
"""Directories below a job's outputs that no file lies in: `key/<key id>` and `licence/<system>`."""

CLEARKEY = "clearkey"
"""The licence of the W3C's ClearKey, which this server gives itself."""

MEDIA_TYPES = {
    "m3u8": "application/vnd.apple.mpegurl",
    "mpd": "application/dash+xml",
    "mp4": "video/mp4",
    "m4a": "audio/mp4",
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "ac3": "audio/ac3",
}
"""By the ending of what plays."""

LicenceSystem = Literal["widevine", "playready", "fairplay"]
PROXIED: tuple[LicenceSystem, ...] = ("widevine", "playready", "fairplay")


class PlaybackDrm(Message):
    """`key_urls` are where players of HLS fetch their keys, none where they do not fetch them here. `licence_urls` are by
    system.

    Both are links like `url`, and so good for as long.
    """

    scheme: ProtectionScheme
    systems: tuple[DrmSystem, ...]
    key_urls: tuple[str, ...] = ()
    licence_urls: dict[str, str] = {}


class PlaybackReply(Message):
    """`url` plays by itself until `expires_at`: HLS where there is, else DASH, else one file. `type` is its media type."""

    job_id: Identifier
    url: str
    type: str
    hls_url: str | None
    dash_url: str | None
    drm: PlaybackDrm | None
    expires_at: str


Unpadded = Annotated[str, Field(pattern=r"^[A-Za-z0-9_\-]{22}$")]
"""16 bytes in base64url without padding."""


class ClearKeyRequest(Message):
    """What a browser asks for (W3C Encrypted Media Extensions, 9.1.3)."""

    kids: Annotated[tuple[Unpadded, ...], Field(min_length=1, max_length=32)]
    type: Literal["temporary", "persistent-license"] = "temporary"


class ClearKey(Message):
    kty: Literal["oct"] = "oct"
    kid: Unpadded
    k: Annotated[str, Field(pattern=r"^[A-Za-z0-9_\-]{22}$", repr=False)]


class ClearKeyReply(Message):
    """The keys asked for, as far as they are of this job (W3C Encrypted Media Extensions, 9.1.4)."""

    keys: tuple[ClearKey, ...]
    type: Literal["temporary"] = "temporary"
