"""Holds the sound of all outputs against what was asked for: beside pictures, in files of its own, in playlists of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from plugins.media import checks, hls, sound_checks
from plugins.media.lengths import Heard, end_of
from plugins.media.probe import Unreadable, facts_of
from plugins.media.rejected import Rejected
from plugins.media.segments import written
from plugins.media.soundtracks import HeardTrack, SoundFile, heard, host, own_playlists, sound_files
from protocol.errors import ErrorCode
from protocol.media import AudioStream, MediaFacts
from protocol.plugins import Outcome
from protocol.recipes import PlannedRendition, TranscodeRecipe
from protocol.sounds import AudioFile, RenditionAudio
from protocol.steps import EXTRACT_AUDIO_MP3, hls_step, transcode_step

SPEECH_BYTES = 16_000 * 2
"""A second of 16 kHz mono s16le."""

LONGER = Fraction(1, 4)
"""By how much a segment of sound may be longer than was asked for: sound is cut between its own frames."""

_INTEGRATED = re.compile(r"^\s*I:\s+(-?\d+(?:\.\d+)?) LUFS", re.MULTILINE)

Outcomes = Mapping[str, Outcome]
Sizes = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ProvenFile:
    """A file of sound alone that holds."""

    file: SoundFile
    facts: MediaFacts


@dataclass(frozen=True, slots=True)
class ProvenTrack:
    """A track's own playlist that holds; `sizes` are its segments' bytes."""

    track: HeardTrack
    playlist: hls.Playlist
    sizes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SoundProof:
    """What was measured of all sound but that beside pictures. `loudness` is in LUFS, by path, of what was levelled.

    `speech` is how long the sound for a transcription is, in seconds.
    """

    files: tuple[ProvenFile, ...] = ()
    playlists: tuple[ProvenTrack, ...] = ()
    speech: Fraction | None = None
    loudness: Mapping[str, float] | None = None

    def level(self, path: str) -> float | None:
        return (self.loudness or {}).get(path)


def beside_picture(recipe: TranscodeRecipe, planned: PlannedRendition, facts: MediaFacts) -> None:
    """The sound tracks of a rendition's MP4. Raises Rejected."""
    tracks, step = heard(recipe), transcode_step(planned.rendition.name)
    if len(facts.audio) < len(tracks) or any(_is_empty(stream) for stream in facts.audio):
        raise undecoded(step)
    asked = [_asked(planned.rendition.audio, track) for track in tracks]
    if [_found(stream) for stream in facts.audio] != asked or facts.streams != 1 + len(tracks):
        raise Rejected(ErrorCode.OUTPUT_INVALID, f"The sound of {planned.path} is not what was asked for.", step)


def nothing_of(recipe: TranscodeRecipe, missing: Sequence[str]) -> str | None:
    """One of the missing files, where they are all that was to be made of some tracks alone, and of nothing else."""
    of_track = [
        *((file.planned.path, file.track.place) for file in sound_files(recipe)),
        *((track.planned.playlist or "", track.place) for track in own_playlists(recipe)),
        *([(recipe.speech, 0)] if recipe.speech else []),
    ]
    places = {place for path, place in of_track if path in missing}
    whole = {path for path, place in of_track if place in places}
    return missing[0] if places and whole == set(missing) else None


def undecoded(step: str | None) -> Rejected:
    """A stream that was asked for and got no packet at all: the encoder was given nothing."""
    return Rejected(ErrorCode.INPUT_CORRUPT, "Nothing of a sound track of the file decodes.", step)


def prove(recipe: TranscodeRecipe, outcomes: Outcomes, sizes: Sizes) -> SoundProof:
    """Raises Rejected."""
    speech = Fraction(sizes[recipe.speech], SPEECH_BYTES) if recipe.speech and recipe.source.audio else None
    return SoundProof(
        files=tuple(_file(one, outcomes, sizes) for one in sound_files(recipe)),
        playlists=tuple(_track(recipe, track, outcomes, sizes) for track in own_playlists(recipe)),
        speech=speech,
        loudness=dict(_levels(recipe, outcomes)),
    )


def lengths(recipe: TranscodeRecipe, renditions: tuple[MediaFacts, ...], proof: SoundProof) -> tuple[Heard, ...]:
    """When each track ends in all that carries it."""
    return tuple(Heard(track.end, tuple(_ends(track, renditions, proof))) for track in heard(recipe))


def _ends(track: HeardTrack, renditions: tuple[MediaFacts, ...], proof: SoundProof) -> Iterator[Fraction]:
    yield from (end_of(facts.audio[track.place]) for facts in renditions)
    yield from (end_of(one.facts.audio[0]) for one in proof.files if one.file.track.place == track.place)
    yield from (one.playlist.duration for one in proof.playlists if one.track.place == track.place)
    if proof.speech is not None and track.place == 0:
        yield proof.speech


def _asked(audio: RenditionAudio | AudioFile, track: HeardTrack) -> tuple[str, int, int]:
    return audio.codec.value, audio.sample_rate, track.channels(audio.codec)


def _found(stream: AudioStream) -> tuple[str, int, int]:
    return stream.codec, stream.sample_rate, stream.channels


def _is_empty(stream: AudioStream) -> bool:
    return Fraction(stream.duration or 0) <= 0


def _file(file: SoundFile, outcomes: Outcomes, sizes: Sizes) -> ProvenFile:
    path = file.planned.path
    try:
        facts = facts_of(outcomes[f"{checks.FACTS}:{path}"].stdout, sizes[path])
    except (Unreadable, KeyError) as error:
        raise Rejected(ErrorCode.OUTPUT_INVALID, f"{path} cannot be read back.", EXTRACT_AUDIO_MP3) from error
    if [_found(stream) for stream in facts.audio] != [_asked(file.planned.audio, file.track)] or facts.video is not None:
        raise Rejected(ErrorCode.OUTPUT_INVALID, f"The sound of {path} is not what was asked for.", EXTRACT_AUDIO_MP3)
    return ProvenFile(file, facts)


def _track(recipe: TranscodeRecipe, track: HeardTrack, outcomes: Outcomes, sizes: Sizes) -> ProvenTrack:
    """Its segments are those that lie there, and none is longer than was asked for."""
    carrier, path = host(recipe), track.planned.playlist or ""
    step = hls_step(carrier.rendition.name) if carrier else None
    playlist, segment_sizes = written(recipe, path, outcomes, sizes, step)
    longest = max(length for _, length in playlist.segments)
    if recipe.hls is not None and longest > recipe.hls.segment_seconds + LONGER:
        raise Rejected(ErrorCode.OUTPUT_INVALID, f"A segment of {path} is too long.", step)
    return ProvenTrack(track, playlist, segment_sizes)


def _levels(recipe: TranscodeRecipe, outcomes: Outcomes) -> Iterator[tuple[str, float]]:
    for path, _ in sound_checks.levelled(recipe):
        outcome = outcomes.get(f"{sound_checks.LOUDNESS}:{path}")
        told = _INTEGRATED.findall(outcome.stderr_tail) if outcome else []
        if told:
            yield path, float(told[-1])
