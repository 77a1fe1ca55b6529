"""Which sound tracks of a film are taken, how, and which files of sound alone are made."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

from dispatch.core.plans import Film
from protocol.languages import short
from protocol.media import AudioStream
from protocol.packaging import HlsPackaging, SegmentFormat
from protocol.recipes import PlannedAudio, PlannedTrack, TranscodeRecipe
from protocol.sounds import FILE_ENDINGS, SOUND_ENCODERS, Channels, Sound, Tracks

MOST_CHANNELS = {Channels.STEREO: 2, Channels.KEEP: 6}
MOST_TITLE = 80
MOST_TRACKS = 32
"""Each takes an encoder for every rendition."""

LEAST_RATE, MOST_RATE, MOST_LOUDSPEAKERS, MOST_LATE_S = 4_000, 768_000, 64, 600
"""What a track may be; the first one was held against the same before. A rate of 0 is one that is not told."""

_NOT_IN_TITLES = re.compile(r"[^\w .,()&+'!\-]")


def tracks(film: Film) -> tuple[PlannedTrack, ...]:
    """The tracks that outputs carry, the default one first. Empty where the profile says nothing of it: then outputs carry
    the first one alone, without a word on its language.
    """
    sound = film.profile.sound
    if sound is None:
        return ()
    seen: Counter[str] = Counter()
    planned = []
    for place, stream in enumerate(chosen(sound, film.facts.audio)):
        language = short(stream.language)
        seen[language or "und"] += 1
        number = seen[language or "und"]
        name = f"{language or 'und'}{f'-{number}' if number > 1 else ''}"
        planned.append(_track(film, sound, stream, name).model_copy(update={"language": language, "is_default": place == 0}))
    return tuple(_with_playlists(planned, film.profile.hls))


def chosen(sound: Sound, audio: Sequence[AudioStream]) -> tuple[AudioStream, ...]:
    """By the wish for languages, then as the file calls one its default, then as they stand. Where none is in a language
    wished for, the film's own default is taken: a film in another language is more than one without sound.
    """
    wishes = [short(language) for language in sound.languages]
    usual = sorted(filter(_is_usable, audio), key=lambda stream: not stream.is_default)
    wished = [stream for stream in usual if short(stream.language) in wishes]
    wished.sort(key=lambda stream: wishes.index(short(stream.language)))
    found = wished if wishes else usual
    return tuple(found[:MOST_TRACKS] if found and sound.tracks is Tracks.ALL else (*found, *usual)[:1])


def _is_usable(stream: AudioStream) -> bool:
    """An odd track beside others is left out; it need not keep the film from being made."""
    has_rate = not stream.sample_rate or LEAST_RATE <= stream.sample_rate <= MOST_RATE
    return has_rate and stream.channels <= MOST_LOUDSPEAKERS and Fraction(stream.start) <= MOST_LATE_S


def title_of(stream: AudioStream) -> str | None:
    """The file's own words as far as they are harmless in playlists and tags."""
    words = " ".join(_NOT_IN_TITLES.sub(" ", stream.title or "").split())
    return words[:MOST_TITLE].strip() or None


def _track(film: Film, sound: Sound, stream: AudioStream, name: str) -> PlannedTrack:
    measured = film.measured.loudness.get(stream.index) if film.measured and sound.loudness else None
    return PlannedTrack(
        stream=stream.index,
        name=name,
        title=title_of(stream),
        channels=min(stream.channels, MOST_CHANNELS[sound.channels]),
        loudness=sound.loudness,
        measured=measured,
    )


def _with_playlists(planned: Sequence[PlannedTrack], hls: HlsPackaging | None) -> list[PlannedTrack]:
    """In TS the default track stands beside each picture, and every other one has a playlist of its own. In fMP4 of several
    tracks each has its own: browsers cannot leave out a track that stands beside a picture there.
    """
    if hls is None or len(planned) < 2:
        return list(planned)
    ending, alone = ("ts", planned[1:]) if hls.format is SegmentFormat.TS else ("m4s", planned)
    names = {one.name for one in alone}
    return [
        one.model_copy(
            update={"playlist": f"audio/{one.name}/playlist.m3u8", "segments": f"audio/{one.name}/segment_%03d.{ending}"}
        )
        if one.name in names
        else one
        for one in planned
    ]


def audio_file(film: Film) -> PlannedAudio | None:
    """Of the default track; None where there is none, or none is asked for."""
    audio = film.profile.audio
    return PlannedAudio(audio=audio, path=f"audio/audio.{FILE_ENDINGS[audio.codec]}") if audio and film.facts.audio else None


def more_audio_files(film: Film, planned: Sequence[PlannedTrack]) -> tuple[PlannedAudio, ...]:
    """Of every track after the first."""
    audio = film.profile.audio
    if audio is None:
        return ()
    ending = FILE_ENDINGS[audio.codec]
    return tuple(PlannedAudio(audio=audio, path=f"audio/audio_{one.name}.{ending}", track=one.name) for one in planned[1:])


def encoders(recipe: TranscodeRecipe) -> frozenset[str]:
    """What makes the sound of all its outputs."""
    beside = {one.rendition.audio.codec for one in recipe.renditions if recipe.source.audio}
    return frozenset(SOUND_ENCODERS[codec] for codec in beside | ({recipe.audio.audio.codec} if recipe.audio else set()))
