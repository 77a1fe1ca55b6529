"""The sound of a transcode as it is reported: facts of its files and playlists, and what a client should know of them."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from plugins.media.sound_proof import ProvenFile, ProvenTrack, SoundProof
from plugins.media.soundtracks import HeardTrack, heard, host
from protocol.recipes import TranscodeRecipe
from protocol.results import FileRole, OutputFacts

MOST_OFF = 1.0
"""LU by which an output may miss the loudness that was asked for, without a word: what EBU R 128 allows live programmes."""


def sound_facts(recipe: TranscodeRecipe, proof: SoundProof) -> Iterator[tuple[str, OutputFacts]]:
    """Each proven file of sound alone, by its path."""
    for proven in proof.files:
        yield proven.file.planned.path, _file(recipe, proven, proof)
    for one in proof.playlists:
        yield from _playlist(recipe, one)
    if recipe.speech is not None and proof.speech is not None:
        told = OutputFacts(role=FileRole.SPEECH, codec="pcm_s16le", sample_rate=16_000, duration=float(proof.speech))
        yield recipe.speech, told


def unlevelled(recipe: TranscodeRecipe, proof: SoundProof) -> Iterator[str]:
    """Tracks whose loudness stays as it is, though another was asked for, and outputs that came out otherwise."""
    tracks = heard(recipe)
    for track in tracks:
        if track.planned.loudness is not None and not track.is_levelled:
            yield f"The sound track {track.planned.name} is silent or too short to be measured: its loudness stays as it is."
    wanted = {track.planned.loudness for track in tracks if track.is_levelled and track.planned.loudness}
    for path, level in (proof.loudness or {}).items():
        for loudness in wanted:
            if abs(level - loudness.integrated) > MOST_OFF:
                missed = f"{path} became {level:g} LUFS, not {loudness.integrated:g}"
                yield f"{missed}, for its peaks, its length or its mix to fewer channels."


def _file(recipe: TranscodeRecipe, proven: ProvenFile, proof: SoundProof) -> OutputFacts:
    sound, duration = proven.facts.audio[0], Fraction(proven.facts.duration)
    told = OutputFacts(
        role=FileRole.AUDIO,
        codec=sound.codec,
        bitrate=round(proven.facts.size_bytes * 8 / duration),
        sample_rate=sound.sample_rate,
        duration=round(float(duration), 6),
        loudness=proof.level(proven.file.planned.path),
        channels=sound.channels,
    )
    return _named(told, recipe, proven.file.track)


def _named(facts: OutputFacts, recipe: TranscodeRecipe, track: HeardTrack) -> OutputFacts:
    """With the track it is, where the recipe tells of tracks at all."""
    if not recipe.tracks:
        return facts
    return facts.model_copy(update={"track": track.planned.name, "language": track.planned.language})


def _playlist(recipe: TranscodeRecipe, proven: ProvenTrack) -> Iterator[tuple[str, OutputFacts]]:
    path, carrier, playlist = proven.track.planned.playlist or "", host(recipe), proven.playlist
    if recipe.hls is None or carrier is None:
        return
    directory, codec = path.rpartition("/")[0], carrier.rendition.audio.codec
    told = OutputFacts(
        role=FileRole.PLAYLIST,
        codec=codec.value,
        duration=round(float(playlist.duration), 6),
        segment_count=len(playlist.segments),
        segment_seconds=float(recipe.hls.segment_seconds),
        segments_bytes=sum(proven.sizes),
        channels=proven.track.channels(codec),
    )
    yield path, _named(told, recipe, proven.track)
    for segment, length in playlist.segments:
        piece = OutputFacts(role=FileRole.SEGMENT, duration=float(length))
        yield f"{directory}/{segment}", _named(piece, recipe, proven.track)
    if playlist.init:
        yield f"{directory}/{playlist.init}", _named(OutputFacts(role=FileRole.INIT_SEGMENT), recipe, proven.track)
