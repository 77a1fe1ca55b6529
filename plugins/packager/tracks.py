"""What a package consists of: pictures, sounds and texts, each with the directory of its files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from protocol.packaging import ContentKey, ContentKeys, KeyLabel, SegmentFormat, label_of
from protocol.recipes import PackageRecipe, PlannedRendition, PlannedSubtitle, PlannedTrack

AUDIO = "audio"
INIT, PLAYLIST = "init.mp4", "playlist.m3u8"
TEXT_INPUT = "text-"
"""What the names of a task's inputs begin with that are WebVTT files."""


class Kind(StrEnum):
    PICTURE = "video"
    SOUND = "audio"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Track:
    """One stream of the package, copied from the task's input `source` by the packager's `selector`.

    `label` is that of the key which encrypts it, None for text. `planned` is the rendition that `source` is.
    """

    name: str
    kind: Kind
    directory: str
    source: str
    selector: str
    ending: str
    label: KeyLabel | None = None
    planned: PlannedRendition | None = None
    heard: PlannedTrack | None = None
    read: PlannedSubtitle | None = None

    @property
    def playlist(self) -> str:
        return f"{self.directory}/{PLAYLIST}"

    @property
    def template(self) -> str:
        return f"{self.directory}/segment_$Number%03d$.{self.ending}"

    @property
    def init(self) -> str | None:
        """None where segments need none."""
        return f"{self.directory}/{INIT}" if self.ending == "m4s" else None

    @property
    def is_for_dash_alone(self) -> bool:
        """Text comes twice: players of HLS read WebVTT, those of DASH want it in MP4."""
        return self.kind is Kind.TEXT and self.ending == "m4s"

    @property
    def language(self) -> str | None:
        return self.heard.language if self.heard else self.read.language if self.read else None


def tracks(recipe: PackageRecipe) -> tuple[Track, ...]:
    """The picture of every rendition; each sound once, from the rendition with the best; each text for HLS and for DASH."""
    return (*_pictures(recipe), *_sounds(recipe), *_texts(recipe))


def played(recipe: PackageRecipe) -> tuple[Track, ...]:
    """Those with pictures or sound."""
    return (*_pictures(recipe), *_sounds(recipe))


def _ending(recipe: PackageRecipe) -> str:
    return "ts" if recipe.packaging.format is SegmentFormat.TS else "m4s"


def _pictures(recipe: PackageRecipe) -> Iterator[Track]:
    for planned in recipe.renditions:
        name = planned.rendition.name
        directory, label = f"{recipe.directory}/{name}", label_of(planned.rendition.height)
        yield Track(name, Kind.PICTURE, directory, name, "video", _ending(recipe), label, planned)


def _sounds(recipe: PackageRecipe) -> Iterator[Track]:
    """Behind the picture, a rendition's MP4 holds its sound tracks in the recipe's order."""
    if not recipe.source.audio:
        return
    best = max(recipe.renditions, key=lambda planned: planned.rendition.audio.bitrate)
    source, ending = best.rendition.name, _ending(recipe)
    if not recipe.tracks:
        yield Track(AUDIO, Kind.SOUND, f"{recipe.directory}/{AUDIO}", source, "audio", ending, "audio", best)
    for n, heard in enumerate(recipe.tracks):
        name = AUDIO if heard.is_default else f"{AUDIO}-{heard.name}"
        yield Track(name, Kind.SOUND, f"{recipe.directory}/{name}", source, f"{n + 1}", ending, "audio", best, heard)


def _texts(recipe: PackageRecipe) -> Iterator[Track]:
    for read in recipe.subtitles:
        name = f"{TEXT_INPUT}{read.name}"
        if recipe.hls_master:
            yield Track(name, Kind.TEXT, f"{recipe.directory}/{name}", name, "text", "vtt", read=read)
        if recipe.dash_manifest:
            yield Track(f"{name}.mp4", Kind.TEXT, f"{recipe.directory}/{name}.mp4", name, "text", "m4s", read=read)


def key_of(track: Track, keys: ContentKeys) -> ContentKey:
    """The key that encrypts it. Raises KeyError where none was brought for it."""
    found = {key.label: key for key in keys.keys}
    return found["all"] if "all" in found else found[track.label or "all"]
