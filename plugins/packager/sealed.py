"""Proves that a package is encrypted, with the keys that were brought: who has none gets other bytes than who has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from plugins.media import checks
from plugins.media.calling import quiet, text
from plugins.media.hls import Playlist
from plugins.media.rejected import Rejected
from plugins.packager import locks
from plugins.packager.tracks import Kind, key_of, played
from protocol.errors import ErrorCode
from protocol.packaging import SYSTEM_IDS, ContentKeys, DrmSystem, ProtectionScheme
from protocol.plugins import Invocation, Outcome
from protocol.recipes import PackageRecipe
from protocol.steps import PACKAGE_STREAMS

INITS, BARE = "init", "bare"
SOUND_SECONDS = 10
"""How much of each sound is looked at; of pictures, every keyframe."""

LEAST_BYTES = 64
"""Smaller packets may have no whole block to encrypt, or hold nothing but a header."""

UNPARSED = ("-fflags", "+noparse")
"""Packets as they are stored: a parser finds no frames in what is encrypted."""

METHODS = {
    ProtectionScheme.AES_128: "AES-128",
    ProtectionScheme.CENC: "SAMPLE-AES-CTR",
    ProtectionScheme.CBCS: "SAMPLE-AES",
}
"""What HLS calls them."""


def build(ffmpeg: str, recipe: PackageRecipe, known: locks.Secrets) -> tuple[Invocation, ...]:
    """TS segments of AES-128 are whole blocks that nobody reads without the key: their sizes tell, and that they decrypt."""
    if locks.is_aes(recipe):
        return ()
    inits = [checks.check(f"{INITS}:{track.init}", text(ffmpeg, track.init)) for track in played(recipe) if track.init]
    bare = checks.check(BARE, (ffmpeg, *quiet(), *_both(recipe)))
    return (*inits, Invocation(name=bare.name, argv=bare.argv, limits=bare.limits, secrets=known))


def _both(recipe: PackageRecipe) -> tuple[str, ...]:
    """Each track twice, with the key and without: packets are listed, nothing is decoded."""
    inputs: list[str] = []
    maps: list[str] = []
    for n, track in enumerate(played(recipe)):
        is_sound = track.kind is Kind.SOUND
        options = (*UNPARSED, *(("-t", str(_begun(recipe) + SOUND_SECONDS)) if is_sound else ()))
        inputs += (*locks.opened(track, recipe, *options), *locks.opened(track, recipe, *options, bare=True))
        maps += ("-map", f"{2 * n}:{'a' if is_sound else 'v'}:0", "-map", f"{2 * n + 1}:{'a' if is_sound else 'v'}:0")
    return (*inputs, *maps, "-c", "copy", "-bsf:v", "noise=drop=not(key)", "-f", "framecrc", "pipe:1")


def _begun(recipe: PackageRecipe) -> int:
    """From when on everything is encrypted, in seconds: the packager leaves whole segments in the clear."""
    lead = recipe.packaging.encryption.clear_lead_seconds if recipe.packaging.encryption else 0
    return lead + recipe.packaging.segment_seconds if lead else 0


def tagged(recipe: PackageRecipe, path: str, written: str, playlist: Playlist) -> None:
    """Raises Rejected where a playlist does not say that what it names is encrypted."""
    encryption = recipe.packaging.encryption
    is_told = encryption is None or f"#EXT-X-KEY:METHOD={METHODS[encryption.scheme]}," in written
    if not is_told and playlist.duration > _begun(recipe):
        raise _wrong(f"{path} does not tell that it is encrypted.")


def verify(recipe: PackageRecipe, outcomes: Mapping[str, Outcome], keys: ContentKeys) -> None:
    """Raises Rejected."""
    if locks.is_aes(recipe):
        return
    for track in played(recipe):
        _signalled(outcomes[f"{INITS}:{track.init}"].stdout, recipe, key_of(track, keys).key_id, keys)
    packets = _packets(outcomes[BARE].stdout)
    for n, track in enumerate(played(recipe)):
        with_key, without = packets.get(2 * n, []), packets.get(2 * n + 1, [])
        if not with_key or len(with_key) != len(without):
            raise _wrong(f"{track.name} cannot be read packet by packet.")
        for (at, size, seen), (_, _, raw) in zip(with_key, without, strict=True):
            if seen == raw and size >= LEAST_BYTES and at >= _begun(recipe):
                raise _wrong(f"{track.name} was not encrypted.")


def _signalled(init: bytes, recipe: PackageRecipe, key_id: str, keys: ContentKeys) -> None:
    """The boxes `schm`, `tenc` and `pssh` (ISO/IEC 14496-12 8.12.5, 23001-7 8.1 and 8.2)."""
    encryption = recipe.packaging.encryption
    scheme, tenc = init.find(b"schm"), init.find(b"tenc")
    if encryption is None or scheme < 0 or init[scheme + 8 : scheme + 12] != encryption.scheme.encode():
        raise _wrong("An initialization segment tells of another scheme.")
    if tenc < 0 or init[tenc + 12 : tenc + 28] != bytes.fromhex(key_id):
        raise _wrong("An initialization segment tells of another key.")
    wanted = {SYSTEM_IDS[one] for one in encryption.systems if one is not DrmSystem.FAIRPLAY}
    wanted |= {box[24:56] for box in keys.pssh}
    if missing := wanted - set(_systems(init)):
        raise _wrong(f"An initialization segment lacks what system {missing.pop()} needs.")


def _systems(init: bytes) -> Iterator[str]:
    at = init.find(b"pssh")
    while at >= 0:
        yield init[at + 8 : at + 24].hex()
        at = init.find(b"pssh", at + 4)


def _packets(stdout: bytes) -> dict[int, list[tuple[float, int, str]]]:
    """When each packet of a stream is shown in seconds, its size and its sum, as the `framecrc` muxer lists them."""
    bases: dict[int, float] = {}
    found: dict[int, list[tuple[float, int, str]]] = {}
    for line in stdout.decode("ascii", "replace").splitlines():
        fields = [field.strip() for field in line.split(",")]
        if line.startswith("#tb "):
            number, _, base = line[4:].partition(": ")
            over, _, under = base.partition("/")
            bases[int(number)] = int(over) / int(under)
        elif len(fields) >= 6 and fields[0].isdigit():
            stream = int(fields[0])
            found.setdefault(stream, []).append((int(fields[2]) * bases.get(stream, 1.0), int(fields[4]), fields[5]))
    return found


def _wrong(message: str) -> Rejected:
    return Rejected(ErrorCode.OUTPUT_INVALID, message, PACKAGE_STREAMS)
