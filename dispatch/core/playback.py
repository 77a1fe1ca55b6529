"""What of a job's outputs plays, what caches may do with it, and which keys are given away. Pure."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from protocol.packaging import ContentKeys, DrmSystem, Encryption, ProtectionScheme
from protocol.playback import CLEARKEY, KEYS, LICENCES, PROXIED, ClearKey, ClearKeyReply
from protocol.results import FileRole, OutputFacts

LONGEST_KEPT_S = 86_400
"""What a cache may keep of a file that never changes: a purge shall be felt everywhere within a day."""

ASKS_AGAIN = "private, no-cache"
_CHANGING = (".m3u8", ".mpd")
NOT_PLAYED = ("metadata.json", "raw/")
"""What tells of the job and its original; a viewer has no need of it."""

PACKAGED = ("hls/", "dash/", "cmaf/", "thumbnails/", "subtitles/", "transcription/")
"""Of an encrypted job: what the packager made, and what stands beside a picture. Its renditions lie there in the clear."""

_CLEAR = re.compile(r"(^|/)video_[^/]*$")
"""Renditions, whatever they are called."""

_OUTPUTS = r"[^/]+/processed/(?P<job>[^/]+)"
"""A job's own, and nothing deeper: below a signed prefix anybody may write a path that ends with another job's id."""

_KEY = re.compile(rf"{_OUTPUTS}/{KEYS}/(?P<name>[0-9a-f]{{32}})")
_LICENCE = re.compile(rf"{_OUTPUTS}/{LICENCES}/(?P<name>{'|'.join((CLEARKEY, *PROXIED))})")


@dataclass(frozen=True, slots=True)
class Made:
    """One published file."""

    path: str
    size: int
    facts: OutputFacts


@dataclass(frozen=True, slots=True)
class Playable:
    """Paths below the job's outputs; `single` is the best file that plays by itself."""

    hls: str | None
    dash: str | None
    single: str | None

    @property
    def best(self) -> str | None:
        return self.hls or self.dash or self.single


@dataclass(frozen=True, slots=True)
class Asked:
    """What lies below a link of playback and is no file: `name` is the key's id, or the licence's system."""

    job_id: str
    name: str


def playable(made: Iterable[Made], *, protected: bool) -> Playable:
    """The tallest rendition stands for all of them; sound alone counts where there is no picture."""
    files = [one for one in made if opens(one.path, protected=protected)]
    renditions = sorted(_of(files, FileRole.RENDITION), key=lambda one: (one.facts.height or 0, one.size))
    sound = _of(files, FileRole.AUDIO)
    single = (*sound[:1], *renditions)
    hls, dash = _of(files, FileRole.MASTER_PLAYLIST), _of(files, FileRole.MANIFEST)
    return Playable(
        hls=hls[0].path if hls else None,
        dash=dash[0].path if dash else None,
        single=single[-1].path if single else None,
    )


def _of(files: Sequence[Made], role: FileRole) -> list[Made]:
    return sorted((one for one in files if one.facts.role is role), key=lambda one: one.path)


def below_outputs(path: str) -> str:
    """Without the tenant, `processed` and the job's id, which stand before every published file."""
    return path.split("/", 3)[-1]


def opens(path: str, *, protected: bool) -> bool:
    """Whether a link of playback is good for this path below the job's outputs."""
    if protected:
        return path.startswith(PACKAGED) and _CLEAR.search(path) is None
    return not path.startswith(NOT_PLAYED)


def asked_key(path: str) -> Asked | None:
    """The key that a path below a signed prefix means, if it means one."""
    return _asked(_KEY.fullmatch(path))


def asked_licence(path: str) -> Asked | None:
    return _asked(_LICENCE.fullmatch(path))


def _asked(found: re.Match[str] | None) -> Asked | None:
    return None if found is None else Asked(found["job"], found["name"])


def cache_control(path: str, left_s: float) -> str:
    """Media never change under their name, so caches may keep them while the link lives; playlists of live streams do."""
    if path.endswith(_CHANGING):
        return ASKS_AGAIN
    return f"public, max-age={max(0, min(int(left_s), LONGEST_KEPT_S))}, immutable"


# --- keys


def gives_key(encryption: Encryption, keys: ContentKeys) -> bool:
    """Whether players fetch the bare key here: HLS of its own key server, or with a DRM, never does."""
    return keys.key_uri is None and (encryption.scheme is ProtectionScheme.AES_128 or gives_clearkey(encryption))


def gives_clearkey(encryption: Encryption) -> bool:
    """ClearKey hands the key to the page; beside a DRM that would be a way around it."""
    return encryption.scheme is not ProtectionScheme.AES_128 and set(encryption.systems) <= {DrmSystem.COMMON}


def key_of(keys: ContentKeys, key_id: str) -> bytes | None:
    found = next((one.key for one in keys.keys if one.key_id == key_id), None)
    return None if found is None else bytes.fromhex(found)


def clearkey_reply(keys: ContentKeys, kids: Iterable[str]) -> ClearKeyReply:
    """Those of the keys asked for that the job has."""
    known = {_unpadded(bytes.fromhex(one.key_id)): _unpadded(bytes.fromhex(one.key)) for one in keys.keys}
    return ClearKeyReply(keys=tuple(ClearKey(kid=kid, k=known[kid]) for kid in dict.fromkeys(kids) if kid in known))


def _unpadded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
