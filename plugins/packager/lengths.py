"""How long the renditions are that are packaged, where a damaged film made them shorter than it tells."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from plugins.media import checks
from plugins.media.calling import PROBED_ENTRIES
from plugins.media.lengths import end_of
from plugins.media.probe import Unreadable, facts_of
from plugins.media.rejected import Rejected
from plugins.packager.command import renditions
from plugins.packager.tracks import Kind, Track, played
from protocol.errors import ErrorCode
from protocol.media import AudioStream, MediaFacts
from protocol.plugins import Invocation, Outcome
from protocol.recipes import PackageRecipe
from protocol.steps import PACKAGE_STREAMS

RENDITION = "rendition"


def probe(ffprobe: str, name: str, path: str) -> Invocation:
    """What the rendition called so tells of itself; `path` is its file, which is opened for ffprobe."""
    reads = ("-protocol_whitelist", "fd", "-fd", "{fd0}", "-i", "fd:")
    shown = ("-show_entries", PROBED_ENTRIES, "-of", "json=compact=1")
    argv = (ffprobe, "-hide_banner", "-loglevel", "level+error", *shown, *reads)
    limits = checks.CHECK_LIMITS
    return Invocation(name=f"{RENDITION}:{name}", argv=argv, reads=(path,), limits=limits, readable=(path,))


def as_made(recipe: PackageRecipe, outcomes: Mapping[str, Outcome]) -> PackageRecipe:
    """The recipe with the lengths that its renditions have. Raises Rejected where one cannot be read."""
    if not recipe.allows_damage:
        return recipe
    source = recipe.source
    tracks = played(recipe)
    made = {name: _facts(name, outcomes) for name in renditions(recipe)}
    pictures = [end_of(video) for facts in made.values() if (video := facts.video) is not None]
    sounds = dict(_sound(recipe, track, place, made) for place, track in enumerate(t for t in tracks if t.kind is Kind.SOUND))
    audio = tuple(_lasting(stream, sounds[stream.index]) if stream.index in sounds else stream for stream in source.audio)
    video = source.video
    if video is not None and pictures:
        video = video.model_copy(update={"duration": str(max(pictures) - Fraction(video.start))})
    longest = max((*pictures, *sounds.values()), default=Fraction(source.duration))
    return recipe.model_copy(
        update={"source": source.model_copy(update={"video": video, "audio": audio, "duration": str(longest)})}
    )


def _facts(name: str, outcomes: Mapping[str, Outcome]) -> MediaFacts:
    try:
        return facts_of(outcomes[f"{RENDITION}:{name}"].stdout, 0)
    except (Unreadable, KeyError) as error:
        raise Rejected(ErrorCode.OUTPUT_INVALID, f"The rendition {name} cannot be read.", PACKAGE_STREAMS) from error


def _sound(recipe: PackageRecipe, track: Track, place: int, made: Mapping[str, MediaFacts]) -> tuple[int, Fraction]:
    """A track's index in the source, and when it ends in the rendition it is taken from."""
    index = track.heard.stream if track.heard is not None else recipe.source.audio[0].index
    heard = made[track.source].audio
    if place >= len(heard):
        raise Rejected(ErrorCode.OUTPUT_INVALID, f"The rendition {track.source} lacks a sound track.", PACKAGE_STREAMS)
    return index, end_of(heard[place])


def _lasting(stream: AudioStream, end: Fraction) -> AudioStream:
    return stream.model_copy(update={"duration": str(end - Fraction(stream.start))})
