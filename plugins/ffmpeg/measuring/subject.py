"""What is measured, with what: the recipe of one attempt, the tools, and where its inputs lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from plugins.ffmpeg import encoding
from plugins.ffmpeg.measuring.windows import Window
from plugins.media.calling import quiet, untrusted
from plugins.media.lengths import output_rate
from protocol.media import MediaFacts
from protocol.plugins import Invocation, Limits, Work
from protocol.recipes import Cut, MeasureRecipe, PlannedRendition, TranscodeRecipe

LEAST_WALL_S, WALL_PER_SECOND = 4 * 3600.0, 20.0
"""A process may run 4 h, or 20 times the length of the film where that is longer."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A piece of one input that the timeline shows from `begins` on; all in seconds. `path` is absolute."""

    path: str
    facts: MediaFacts
    start: Fraction
    end: Fraction
    begins: Fraction


@dataclass(frozen=True, slots=True)
class Subject:
    """`inputs` are absolute paths by the name of an attachment's input; `path` is that of the job's own."""

    recipe: MeasureRecipe
    ffmpeg: str
    threads: int
    path: str
    inputs: Mapping[str, str]

    @property
    def duration(self) -> Fraction:
        """Of the picture where the file tells it, else of all."""
        video = self.recipe.source.video
        return Fraction((video.duration if video else None) or self.recipe.source.duration)

    @property
    def rate(self) -> Fraction:
        video = self.recipe.source.video
        return output_rate(video) if video else Fraction(25)

    @property
    def timeline(self) -> TranscodeRecipe:
        """The film as an encode without outputs sees it."""
        recipe = self.recipe
        return TranscodeRecipe(source=recipe.source, parts=recipe.parts, cut=recipe.cut, picture=recipe.picture, renditions=())

    @property
    def reads(self) -> tuple[str, ...]:
        """The inputs of the timeline's graph."""
        return tuple(stretch.path for stretch in self.stretches)

    @property
    def head(self) -> tuple[str, ...]:
        """How each process begins. Progress goes to stdout."""
        return (self.ffmpeg, "-y", *quiet(), "-progress", "pipe:1", "-stats_period", "0.5")

    @property
    def stretches(self) -> tuple[Stretch, ...]:
        """What the timeline is made of."""
        recipe, begins = self.recipe, Fraction(0)
        if not recipe.parts:
            start = Fraction(recipe.cut.start) if recipe.cut else Fraction(0)
            end = Fraction(recipe.cut.end) if recipe.cut else Fraction(recipe.source.duration)
            return (Stretch(self.path, recipe.source, start, end, begins),)
        found = []
        for part in recipe.parts:
            path = self.path if part.attachment is None else self.inputs[part.attachment]
            start, length = Fraction(part.start), Fraction(part.length or part.facts.duration)
            found.append(Stretch(path, part.facts, start, start + length, begins))
            begins += length
        return tuple(found)

    def invocation(self, name: str, argv: tuple[str, ...], reads: tuple[str, ...], makes: tuple[str, ...] = ()) -> Invocation:
        """Progress on stdout."""
        wall = max(LEAST_WALL_S, WALL_PER_SECOND * float(self.duration))
        limits = Limits(wall_s=wall, cpu_s=int(wall * max(self.threads, 1)))
        return Invocation(name=name, argv=argv, reads=reads, makes=makes, streams=True, limits=limits)


@dataclass(frozen=True, slots=True)
class Sample:
    """A window of the film as a film of its own: where it is read, and its timeline without renditions."""

    path: str
    seconds: Fraction
    recipe: TranscodeRecipe

    def of(self, *renditions: PlannedRendition) -> TranscodeRecipe:
        return self.recipe.model_copy(update={"renditions": renditions})


def encodes(subject: Subject, spot: Sample, recipe: TranscodeRecipe, name: str) -> tuple[Invocation, ...]:
    """The processes of the sample's encode, the last of them called `name`."""
    work = Work(recipe=recipe, steps=(), directory="", threads=subject.threads)
    made = encoding.invocations(subject.ffmpeg, work, recipe, spot.path)
    return tuple(replace(one, name=name if one.name == encoding.ENCODE else f"{name}:{one.name}") for one in made)


def sample(subject: Subject, window: Window) -> Sample:
    """The picture alone. A window that crosses parts is taken as far as the part it begins in goes."""
    stretch = max((one for one in subject.stretches if one.begins <= window.start), key=lambda one: one.begins)
    start = stretch.start + window.start - stretch.begins
    end = min(stretch.end, start + window.seconds)
    cut = Cut(start=str(start), end=str(end))
    facts = _alone(stretch.facts, end - start)
    recipe = TranscodeRecipe(source=facts, cut=cut, picture=subject.recipe.picture, renditions=())
    return Sample(stretch.path, end - start, recipe)


def _alone(facts: MediaFacts, seconds: Fraction) -> MediaFacts:
    video = facts.video and facts.video.model_copy(update={"duration": str(seconds), "start": "0", "frames": None})
    nothing: dict[str, object] = {"audio": (), "subtitles": (), "chapters": (), "parts": {}}
    return facts.model_copy(update={"duration": str(seconds), "video": video, **nothing})


def opening(subject: Subject, *options: str) -> tuple[str, ...]:
    """The beginning of a process that reads one input whole."""
    return (*subject.head, *untrusted(), "-threads", str(subject.threads), *options, "-fd", "{fd0}", "-i", "fd:")


def talking(argv: tuple[str, ...]) -> tuple[str, ...]:
    """The same process, telling what its filters found, too."""
    return tuple("level+info" if word == "level+error" else word for word in argv)
