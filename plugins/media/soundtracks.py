"""The sound tracks that a recipe's outputs carry, and which output carries which."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from plugins.media.lengths import end_of
from protocol.encoding import AudioCodec
from protocol.media import AudioStream, MediaFacts
from protocol.recipes import PlannedAudio, PlannedRendition, PlannedTrack, TranscodeRecipe
from protocol.sounds import LAYOUTS

MOST_INTEGRATED, LEAST_INTEGRATED = 0.0, -70.0
"""LUFS. Below is silence to EBU R 128, which counts nothing under its gate; above is nothing that a film holds."""


@dataclass(frozen=True, slots=True)
class HeardTrack:
    """One track of the outputs, with what the source tells of it. `place` is its number among the tracks of a rendition."""

    place: int
    planned: PlannedTrack
    stream: AudioStream

    @property
    def end(self) -> Fraction | None:
        """When it should end, in seconds; None where the source does not tell."""
        return end_of(self.stream) if self.stream.duration is not None else None

    @property
    def is_levelled(self) -> bool:
        """Whether its loudness is brought to what was asked for: it has to be known, and be more than silence."""
        measured = self.planned.measured
        if self.planned.loudness is None or measured is None:
            return False
        return LEAST_INTEGRATED < measured.integrated < MOST_INTEGRATED

    def channels(self, codec: AudioCodec) -> int:
        """How many it has in that codec: the largest number that the codec has an order of speakers for."""
        return min(self.planned.channels, max(LAYOUTS[codec], default=2))


def heard(recipe: TranscodeRecipe) -> tuple[HeardTrack, ...]:
    """The default track first. A recipe that names none means the first, mixed down, without a word on its language."""
    streams = {stream.index: stream for stream in recipe.source.audio}
    planned = recipe.tracks or tuple(_first(recipe.source))
    return tuple(
        HeardTrack(place, track, streams[track.stream]) for place, track in enumerate(planned) if track.stream in streams
    )


def _first(source: MediaFacts) -> Iterator[PlannedTrack]:
    for stream in source.audio[:1]:
        yield PlannedTrack(stream=stream.index, name="und", channels=min(stream.channels, 2), is_default=True)


@dataclass(frozen=True, slots=True)
class SoundFile:
    """A file of sound alone, and the track in it."""

    planned: PlannedAudio
    track: HeardTrack


def sound_files(recipe: TranscodeRecipe) -> tuple[SoundFile, ...]:
    """The default track's first."""
    tracks = heard(recipe)
    if not tracks:
        return ()
    by_name = {track.planned.name: track for track in tracks}
    wanted = (*([recipe.audio] if recipe.audio else []), *recipe.more_audio)
    return tuple(SoundFile(one, by_name.get(one.track or "", tracks[0])) for one in wanted)


def host(recipe: TranscodeRecipe) -> PlannedRendition | None:
    """The rendition whose encode of the sound fills the playlists that tracks have of their own: the one with the most bits.

    All of a master playlist's variants share these.
    """
    if not own_playlists(recipe):
        return None
    streamed = [one for one in recipe.renditions if one.playlist]
    return max(streamed, key=lambda one: (one.rendition.audio.bitrate, one.height), default=None)


def own_playlists(recipe: TranscodeRecipe) -> tuple[HeardTrack, ...]:
    """The tracks that stand in playlists without a picture; none where nothing becomes HLS."""
    if recipe.hls is None or not any(one.playlist for one in recipe.renditions):
        return ()
    return tuple(track for track in heard(recipe) if track.planned.playlist is not None and track.planned.segments is not None)
