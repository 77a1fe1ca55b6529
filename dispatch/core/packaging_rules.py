"""What packaging can be, and which keys a job has to bring for it. Pure."""

from __future__ import annotations

import struct
from collections.abc import Callable

from dispatch.core.paging import refuse
from protocol.encoding import AudioCodec, VideoCodec
from protocol.packaging import (
    SYSTEM_IDS,
    CmafPackaging,
    ContentKeys,
    DrmSystem,
    Encryption,
    KeyLabel,
    ProtectionScheme,
    SegmentFormat,
    label_of,
)
from protocol.profiles import Profile

AES_128, CENC, CBCS = ProtectionScheme.AES_128, ProtectionScheme.CENC, ProtectionScheme.CBCS
IN_TS = (VideoCodec.H264, VideoCodec.HEVC)
"""What FFmpeg puts into segments of TS."""

PICTURES = {SegmentFormat.TS: (VideoCodec.H264,), SegmentFormat.FMP4: tuple(VideoCodec)}
SOUNDS = {
    SegmentFormat.TS: (AudioCodec.AAC, AudioCodec.AC3),
    SegmentFormat.FMP4: (AudioCodec.AAC, AudioCodec.OPUS, AudioCodec.AC3),
}
"""What Shaka Packager 3.8 puts into segments: tried with each."""

Rule = tuple[Callable[[CmafPackaging, Encryption], bool], str]

ENCRYPTION: tuple[Rule, ...] = (
    (lambda p, e: e.scheme is AES_128 and p.format is SegmentFormat.FMP4, "aes-128 encrypts TS segments: give format ts"),
    (lambda p, e: e.scheme is not AES_128 and p.format is SegmentFormat.TS, "cenc and cbcs are for format fmp4"),
    (lambda p, e: e.scheme is AES_128 and bool(e.systems), "aes-128 has no systems"),
    (lambda p, e: DrmSystem.FAIRPLAY in e.systems and e.scheme is not CBCS, "fairplay reads cbcs alone"),
    (lambda p, e: DrmSystem.FAIRPLAY in e.systems and not p.hls, "fairplay is for hls"),
    (
        lambda p, e: e.scheme is CENC and p.hls and not {DrmSystem.WIDEVINE, DrmSystem.PLAYREADY} & set(e.systems),
        "players of HLS read cenc by widevine or playready: name one, or take cbcs, or dash alone",
    ),
    (lambda p, e: len(set(e.systems)) != len(e.systems), "names a system twice"),
)
"""What cannot be together, and why."""


def check(profile: Profile, packaging: CmafPackaging, below: str = "") -> None:
    """Raises VALIDATION_FAILED."""
    if packaging.format is SegmentFormat.TS and packaging.dash:
        raise refuse(f"{below}packaging", "DASH is made of fmp4 segments: give dash false, or format fmp4")
    pictures, sounds = PICTURES[packaging.format], SOUNDS[packaging.format]
    for rendition in profile.renditions:
        if rendition.codec not in pictures or rendition.audio.codec not in sounds:
            words = f"segments of {packaging.format} carry {', '.join(pictures)} with {', '.join(sounds)}"
            raise refuse(f"{below}packaging", f"{words}; {rendition.name} is something else")
    taken = [rendition.name for rendition in profile.renditions if rendition.name.startswith(("audio", "text-"))]
    if taken:
        raise refuse(f"{below}renditions", f"{taken[0]} is what packaging calls sound or text; give it another name")
    encryption = packaging.encryption
    if encryption is not None and profile.hls is not None:
        raise refuse(f"{below}hls", "its segments would lie in the clear beside what is encrypted: give packaging.hls")
    for is_wrong, why in ENCRYPTION if encryption is not None else ():
        if encryption is not None and is_wrong(packaging, encryption):
            raise refuse(f"{below}packaging.encryption", why)


def check_keys(profile: Profile, keys: ContentKeys | None) -> None:
    """A job brings keys where its profile encrypts, and only there. Raises VALIDATION_FAILED, which repeats no key."""
    encryption = profile.packaging.encryption if profile.packaging is not None else None
    if encryption is None:
        if keys is not None:
            raise refuse("content_keys", f"profile {profile.name} encrypts nothing: leave them out, or give packaging.encryption")
        return
    if keys is None:
        raise refuse("content_keys", f"is required: profile {profile.name} encrypts by {encryption.scheme}")
    for is_wrong, why in KEYS:
        if is_wrong(encryption, keys):
            raise refuse("content_keys", why)
    missing = sorted(_needed(profile) - {key.label for key in keys.keys})
    if missing and not any(key.label == "all" for key in keys.keys):
        raise refuse("content_keys", f"a key is missing for {', '.join(missing)}; give one for each, or one for all")
    for box in keys.pssh:
        _check_box(bytes.fromhex(box))


def _needed(profile: Profile) -> set[KeyLabel]:
    pictures = {label_of(rendition.height) for rendition in profile.renditions}
    return {*pictures, "audio"}


def _is_short(iv: str | None) -> bool:
    return iv is not None and len(iv) != 32


KEYS: tuple[tuple[Callable[[Encryption, ContentKeys], bool], str], ...] = (
    (lambda e, k: e.scheme is AES_128 and len(k.keys) > 1, "aes-128 takes one key, for all"),
    (lambda e, k: e.scheme is AES_128 and bool(k.pssh), "aes-128 has no pssh"),
    (
        lambda e, k: e.scheme is CENC and k.iv is not None,
        "cenc takes no iv: one counter for all tracks would show what they hold",
    ),
    (lambda e, k: _is_short(k.iv), "iv is 16 bytes, 32 hexadecimal digits"),
    (
        lambda e, k: (k.key_uri or "").startswith("skd:") and DrmSystem.FAIRPLAY not in e.systems,
        "a key_uri of skd: is for fairplay, which is not among the systems",
    ),
    (lambda e, k: len({one.key_id for one in k.keys}) != len(k.keys), "each key has a key_id of its own"),
)


def _check_box(box: bytes) -> None:
    """ISO/IEC 23001-7, 8.1: a whole `pssh` box of a system we know, whose lengths add up."""
    size, kind, version = struct.unpack_from(">I4sB", box)
    if size != len(box) or kind != b"pssh" or version > 1:
        raise refuse("content_keys.pssh", "is no pssh box")
    at = 28 + (4 + 16 * struct.unpack_from(">I", box, 28)[0] if version else 0)
    if len(box) < at + 4 or len(box) != at + 4 + struct.unpack_from(">I", box, at)[0]:
        raise refuse("content_keys.pssh", "is a pssh box whose lengths do not add up")
    system = box[12:28].hex()
    if system not in SYSTEM_IDS.values():
        raise refuse("content_keys.pssh", f"is of system {system}, which is none of {', '.join(DrmSystem)}")
