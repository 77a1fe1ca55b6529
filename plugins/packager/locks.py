"""Encryption: what the packager is told besides its arguments, how its work is read with the key, what players are told.

Keys stand in files that live as long as the one process that reads them: never in an argument, a log or a result.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from plugins.media.calling import own_file
from plugins.packager.tracks import Track, key_of
from protocol.errors import ErrorCode, ReelyardError
from protocol.packaging import SYSTEM_IDS, ContentKeys, DrmSystem, ProtectionScheme
from protocol.plugins import MadeFile
from protocol.recipes import PackageRecipe
from protocol.results import Failure

FLAGS, KEY = "packager.flags", "content.key"
"""Below the work directory, while a process reads them."""

SYSTEMS = {
    DrmSystem.WIDEVINE: "Widevine",
    DrmSystem.PLAYREADY: "PlayReady",
    DrmSystem.FAIRPLAY: "FairPlay",
    DrmSystem.COMMON: "CommonSystem",
}
FAIRPLAY_FORMAT = 'KEYFORMAT="com.apple.streamingkeydelivery"'

Secrets = tuple[tuple[str, bytes], ...]

_NUMBER = re.compile(r"_(\d+)\.[a-z0-9]+$")
_URI = re.compile(r'URI="[^"]*"')


def needed(recipe: PackageRecipe, keys: ContentKeys | None) -> ContentKeys | None:
    """The keys where the recipe encrypts. Raises PLUGIN_FAILED where they did not come."""
    if recipe.packaging.encryption is None:
        return None
    if keys is None:
        raise ReelyardError(ErrorCode.PLUGIN_FAILED, "The content keys of this job cannot be read any more; submit it anew.")
    return keys


def is_aes(recipe: PackageRecipe) -> bool:
    encryption = recipe.packaging.encryption
    return encryption is not None and encryption.scheme is ProtectionScheme.AES_128


def flags(recipe: PackageRecipe, keys: ContentKeys) -> Secrets:
    """The file of flags. Systems whose boxes the client brought are not made; the key's address is put in afterwards."""
    encryption = recipe.packaging.encryption
    brought = {box[24:56] for box in keys.pssh}
    systems = [one for one in (encryption.systems if encryption else ()) if SYSTEM_IDS[one] not in brought]
    told = ",".join(f"label={key.label}:key_id={key.key_id}:key={key.key}" for key in keys.keys)
    lines = ["--enable_raw_key_encryption", f"--keys={told}", f"--hls_key_uri={_up(recipe)}{KEY}"]
    lines += [f"--iv={keys.iv}"] if keys.iv else []
    lines += [f"--pssh={''.join(keys.pssh)}"] if keys.pssh else []
    lines += [f"--protection_systems={','.join(SYSTEMS[one] for one in systems)}"] if systems else []
    return ((FLAGS, "\n".join([*lines, ""]).encode()),)


def _up(recipe: PackageRecipe) -> str:
    """From a media playlist to the top."""
    return "../" * (recipe.directory.count("/") + 2)


# --- reading it back


def opened(track: Track, recipe: PackageRecipe, *options: str, bare: bool = False) -> tuple[str, ...]:
    """FFmpeg's input for a track, as a player reads it, with the key; `bare` as one does who has none."""
    if recipe.packaging.encryption is None:
        return own_file(track.playlist, *options)
    if is_aes(recipe):
        reads: tuple[str, ...] = ("-protocol_whitelist", "file,crypto", "-allowed_extensions", "ALL", "-err_detect", "explode")
        return (*reads, *options, "-i", f"file:{track.playlist}")
    if bare:
        return (*_SCRIPTED, *options, "-i", f"concatf:file:{_listed(track)}")
    return (*_SCRIPTED, *options, "-f", "concat", "-safe", "0", "-i", f"file:{_script(track)}")


def opened_end(track: Track, recipe: PackageRecipe, seek: Sequence[str], *options: str) -> tuple[str, ...]:
    """The same from shortly before its end, where `seek` leads. By a script that is its last segments: the demuxer of scripts
    seeks to frames that are no keyframes.
    """
    if not is_scripted(recipe):
        return opened(track, recipe, *options, *seek)
    return (*_SCRIPTED, *options, "-f", "concat", "-safe", "0", "-i", f"file:{_script(track, END)}")


def is_scripted(recipe: PackageRecipe) -> bool:
    """Whether tracks are read by scripts that tell the key, not by their playlists."""
    return recipe.packaging.encryption is not None and not is_aes(recipe)


_SCRIPTED = ("-protocol_whitelist", "file,concatf", "-err_detect", "explode")
END = ".end"


def keys_for(
    tracks: Iterable[Track], recipe: PackageRecipe, keys: ContentKeys, files: Sequence[MadeFile], last: int = 1
) -> Secrets:
    """What `opened` reads: the key alone, or for each track lists of its files, the second of its `last` segments, and scripts
    that tell the key.
    """
    if is_aes(recipe):
        return ((KEY, bytes.fromhex(keys.keys[0].key)),)
    made: list[tuple[str, bytes]] = []
    for track in tracks:
        names = sorted((file.path for file in files if file.path.startswith(f"{track.directory}/segment_")), key=_number)
        for part, chosen in (("", names), (END, names[-last:])):
            listed = "".join(f"file:{path}\n" for path in (track.init, *chosen))
            told = f"file 'concatf:file:{_listed(track, part)}'\noption decryption_key {key_of(track, keys).key}\n"
            made += [(_listed(track, part), listed.encode()), (_script(track, part), f"ffconcat version 1.0\n{told}".encode())]
    return tuple(made)


def _number(path: str) -> int:
    found = _NUMBER.search(path)
    return int(found[1]) if found else 0


def _listed(track: Track, part: str = "") -> str:
    return f"check-{track.name}{part}.list"


def _script(track: Track, part: str = "") -> str:
    return f"check-{track.name}{part}.ffconcat"


def masked(failure: Failure, stderr_tail: str, keys: ContentKeys | None) -> Failure:
    """A tool that cannot read what it is told may repeat it: its words go on without keys."""
    if keys is None:
        return failure
    told = failure.log_tail or stderr_tail
    for key in keys.keys:
        told = re.sub(key.key, "<key>", told, flags=re.IGNORECASE)
    return failure.model_copy(update={"log_tail": told})


# --- what players are told


def published(text: str, track: Track, recipe: PackageRecipe, keys: ContentKeys) -> str:
    """A media playlist with the addresses of its key: the client's, or one of this server below the prefix it plays from."""
    key = key_of(track, keys)
    own = f"{_up(recipe)}key/{key.key_id}"
    fetched = own if keys.key_uri is None or keys.key_uri.startswith("skd:") else keys.key_uri
    raw = f'URI="{_up(recipe)}{KEY}"'
    lines = []
    for line in text.split("\n"):
        if line.startswith("#EXT-X-KEY:") and FAIRPLAY_FORMAT in line:
            told = f'URI="{keys.key_uri or f"skd://{key.key_id}"}"'
            line = _URI.sub(told.replace("\\", r"\\"), line)  # an address may hold backslashes, which a template reads
        elif line.startswith("#EXT-X-KEY:"):
            line = line.replace(raw, f'URI="{fetched}"')
        lines.append(line)
    return "\n".join(lines)
