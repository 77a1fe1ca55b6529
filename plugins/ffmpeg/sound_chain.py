"""The sound's part of the graph: each track decoded once, laid on the timeline from 0, shared by all who use it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from plugins.ffmpeg import joined
from plugins.ffmpeg.graph import Sounds, split
from plugins.ffmpeg.loudness import layout, levelled
from plugins.media.lengths import length_cap
from plugins.media.soundtracks import HeardTrack, heard, sound_files
from protocol.recipes import TranscodeRecipe
from protocol.sounds import AudioFile, RenditionAudio

Made = RenditionAudio | AudioFile


@dataclass(frozen=True, slots=True)
class _User:
    """One output of a track, by its label; `layout` where its encoder must be told the order of its speakers."""

    label: str
    audio: Made
    layout: str | None = None


def sounds(recipe: TranscodeRecipe, lines: list[str]) -> Sounds:
    """One label for each output that has sound, track by track: the renditions in order, the files, the speech."""
    numbers = iter(range(1_000_000))
    beside: list[list[str]] = [[] for _ in recipe.renditions]
    files: dict[str, str] = {}
    speech: str | None = None
    for track in heard(recipe):
        users: list[_User] = []
        for labels, planned in zip(beside, recipe.renditions, strict=True):
            users.append(_user(track, f"a{next(numbers)}", planned.rendition.audio))
            labels.append(users[-1].label)
        for file in sound_files(recipe):
            if file.track.place == track.place:
                users.append(_user(track, f"a{next(numbers)}", file.planned.audio))
                files[file.planned.path] = users[-1].label
        if recipe.speech is not None and track.place == 0:
            speech = f"a{next(numbers)}"
        lines.extend(_chain(recipe, track, users, speech if track.place == 0 else None))
    in_order = tuple(files[file.planned.path] for file in sound_files(recipe))
    return Sounds(renditions=tuple(tuple(labels) for labels in beside), files=in_order, speech=speech)


def origin(recipe: TranscodeRecipe, stream: int) -> str:
    """Where a track's sound comes into the graph, up to the moment it lies on the timeline from 0."""
    entry = f"{joined.sound(recipe, stream)}," if recipe.parts else f"[0:{stream}]"
    return f"{entry}atrim=end={float(length_cap(recipe.source)):.3f},aresample=async=1:first_pts=0"


def _user(track: HeardTrack, label: str, audio: Made) -> _User:
    return _User(label, audio, layout(track.channels(audio.codec), audio.codec))


def _chain(recipe: TranscodeRecipe, track: HeardTrack, users: list[_User], speech: str | None) -> Iterator[str]:
    """The speech is taken before the loudness is changed: what a model hears stays as it was."""
    head, ends = origin(recipe, track.planned.stream), [f"{user.label}i" if user.layout else user.label for user in users]
    spoken = [speech] if speech else []
    if not (ends or spoken):
        return
    if ends and track.is_levelled:
        rate = max(user.audio.sample_rate for user in users)
        yield f"{head}{split('asplit', [f't{track.place}', *spoken])}"
        yield f"[t{track.place}]{levelled(track, rate)}{split('asplit', ends)}"
    else:
        yield f"{head}{split('asplit', [*ends, *spoken])}"
    for user in users:
        if user.layout:
            yield f"[{user.label}i]aformat=channel_layouts={user.layout}[{user.label}]"
