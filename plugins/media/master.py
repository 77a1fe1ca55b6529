"""The master playlist of FFmpeg's HLS, from what was proven of everything it names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from plugins.media import hls
from plugins.media.codecs import SOUNDS
from plugins.media.lengths import rendition_rate
from plugins.media.soundtracks import heard, host
from plugins.media.verify import Proof, ProvenRendition
from protocol.recipes import PlannedTrack, TranscodeRecipe

SOUND, TEXT = "audio", "subtitles"
"""The names of the two groups."""

RANGES = {"smpte2084": "PQ", "arib-std-b67": "HLG"}
"""What HLS calls the transfer of a picture that is not SDR."""


def master(recipe: TranscodeRecipe, proof: Proof, path: str) -> bytes:
    """A variant for each rendition with a playlist; every variant may be played with any of the sounds and subtitles."""
    sounds, texts, beside = tuple(_sounds(recipe, path)), tuple(_texts(proof, path)), _beside(proof)
    groups = (*((("AUDIO", SOUND),) if sounds else ()), *((("SUBTITLES", TEXT),) if texts else ()))
    variants = []
    for proven in proof.renditions:
        planned = proven.planned
        if proven.playlist is None or planned.playlist is None:
            continue
        peak, average = hls.bandwidths(proven.playlist, proven.sizes)
        size = (planned.width, planned.height)
        variant = hls.Variant(
            *(hls.relative(planned.playlist, path), *size),
            rate=rendition_rate(recipe, planned),
            codecs=_codecs(recipe, proven),
            peak=peak + beside[0],
            average=average + beside[1],
            groups=groups,
            range=_range(proven),
        )
        variants.append(variant)
    return hls.master(variants, (*sounds, *texts))


def _range(proven: ProvenRendition) -> str | None:
    video = proven.facts.video
    return RANGES.get(video.colour.transfer) if video and proven.planned.keeps_hdr else None


def _beside(proof: Proof) -> tuple[int, int]:
    """What the dearest sound and the dearest subtitles add to a variant's bandwidth, at most and on average.

    RFC 8216 4.3.4.2 asks for the largest sum of any that can be played together.
    """
    rates = [hls.bandwidths(one.playlist, one.sizes) for one in proof.sound.playlists]
    text = max((-(-len(one.segment) * 8 // one.seconds) for one in proof.texts), default=0)
    return max((peak for peak, _ in rates), default=0) + text, max((average for _, average in rates), default=0) + text


def _codecs(recipe: TranscodeRecipe, proven: ProvenRendition) -> str:
    """Of the picture with the sound that stands beside it, and of what may be played with it."""
    carrier, told = host(recipe), proven.codecs.split(",")
    if carrier is None:
        return proven.codecs
    if all(track.planned.playlist for track in heard(recipe)):
        told = [one for one in told if one not in SOUNDS.values()]
    return ",".join(dict.fromkeys([*told, SOUNDS[carrier.rendition.audio.codec]]))


def _sounds(recipe: TranscodeRecipe, path: str) -> Iterator[hls.Media]:
    """A track that lies in every variant has no address of its own (RFC 8216 4.3.4.1). Of several in one language only the
    first is chosen by players themselves.
    """
    carrier = host(recipe)
    if carrier is None:
        return
    tracks, languages = heard(recipe), set[str | None]()
    names = Counter(_shown(track.planned) for track in tracks)
    for track in tracks:
        planned = track.planned
        yield hls.Media(
            *("AUDIO", SOUND, _shown(planned) if names[_shown(planned)] == 1 else planned.name),
            language=planned.language,
            is_default=track.place == 0,
            is_chosen_by_language=planned.language not in languages,
            channels=track.channels(carrier.rendition.audio.codec),
            uri=hls.relative(planned.playlist, path) if planned.playlist else None,
        )
        languages.add(planned.language)


def _shown(planned: PlannedTrack) -> str:
    return planned.title or planned.name


def _texts(proof: Proof, path: str) -> Iterator[hls.Media]:
    """None is on from the start but forced ones, which players show by themselves. Of several in one language, forced or
    not, only the first is chosen by players.
    """
    seen = set[tuple[str | None, bool]]()
    for playlist in proof.texts:
        text, planned = playlist.text, playlist.text.planned
        kind = (planned.language, planned.is_forced)
        yield hls.Media(
            *("SUBTITLES", TEXT, planned.name),
            language=planned.language,
            is_chosen_by_language=kind not in seen,
            is_forced=planned.is_forced,
            uri=hls.relative(text.playlist, path),
        )
        seen.add(kind)
