"""In which order things are measured, and how far that is. Bars come first: probes and comparisons look at what is inside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from plugins.ffmpeg.measuring import bars, comparing, content, loudness, probing, search
from plugins.ffmpeg.measuring.subject import Subject
from plugins.media import progress
from protocol.pictures import Crop
from protocol.plugins import Invocation, Outcome
from protocol.recipes import MeasureRecipe

Done = Mapping[str, Outcome]


@dataclass(frozen=True, slots=True)
class Stage:
    """What runs next, and which share of the whole lies before it and within it."""

    invocations: tuple[Invocation, ...] = ()
    begins: float = 0.0
    share: float = 0.0


@dataclass(frozen=True, slots=True)
class Told:
    """How far an attempt is: its stage, the process that runs, and what was shown last."""

    stage: Stage = field(default_factory=Stage)
    now: progress.Progress = field(default_factory=progress.Progress)
    running: str = ""
    shown: float = 0.0


@dataclass(frozen=True, slots=True)
class _Row:
    """One stage: how many equal parts of the work it is for this recipe, and what it runs, all at once."""

    weight: Callable[[MeasureRecipe], int]
    invocations: Callable[[Subject], tuple[Invocation, ...]]


_ROWS: tuple[_Row, ...] = (
    _Row(lambda recipe: bool(recipe.tracks), loudness.invocations),
    _Row(lambda recipe: recipe.finds_crop, bars.invocations),
    _Row(lambda recipe: recipe.content is not None, content.invocations),
)


def following(subject: Subject, done: Done) -> Stage:
    """The next stage; one without invocations when all is done."""
    recipe = subject.recipe
    rounds = search.MOST_PROBES * bool(probing.probed(subject)) + bool(recipe.per_title)
    whole = max(1, sum(row.weight(recipe) for row in _ROWS) + rounds + len(recipe.compare))
    before = 0
    for row in _ROWS:
        if missing := _missing(row.invocations(subject), done):
            return Stage(missing, before / whole, row.weight(recipe) / whole)
        before += row.weight(recipe)
    inside = cropped(subject, done)
    if more := probing.following(inside, done):
        name = more[0].name.split(":")[1]
        number = rounds - 1 if name == probing.WEIGHING else int(name)
        return Stage(more, (before + number) / whole, 1 / whole)
    before += rounds
    return Stage(_missing(comparing.invocations(inside), done), before / whole, len(recipe.compare) / whole)


def _missing(invocations: tuple[Invocation, ...], done: Done) -> tuple[Invocation, ...]:
    return tuple(one for one in invocations if one.name not in done)


def crop_of(subject: Subject, done: Done) -> Crop | None:
    """What the pictures agree on. Inputs of several sizes have no bars in common."""
    video = subject.recipe.source.video
    told = [outcome.stdout for name, outcome in done.items() if name.startswith(f"{bars.TOLD}:")]
    if video is None or not told:
        return None
    shapes = {bars.size_of(subject, part) for part in subject.stretches if part.facts.video}
    if len(shapes) != 1:
        return None
    width, height = shapes.pop()
    return bars.decide([box for one in told for box in bars.boxes(one)], width, height)


def cropped(subject: Subject, done: Done) -> Subject:
    """The subject as its encode will see it: without its bars."""
    crop = crop_of(subject, done)
    if crop is None:
        return subject
    asked = subject.recipe.picture.crop or Crop()
    both = Crop(**{side: max(getattr(asked, side), getattr(crop, side)) for side in Crop.model_fields})
    picture = subject.recipe.picture.model_copy(update={"crop": both})
    return replace(subject, recipe=subject.recipe.model_copy(update={"picture": picture}))


def advance(told: Told, invocation: Invocation, line: str, subject: Subject) -> Told:
    """After one more line of a process's progress."""
    before = told.now if told.running == invocation.name else progress.Progress()
    goal = progress.Goal(frames=0, seconds=float(subject.duration), rate=0.0)
    now = progress.advance(before, line, goal)
    names = [one.name for one in told.stage.invocations]
    place = names.index(invocation.name) if invocation.name in names else 0
    within = (place + now.fraction) / max(1, len(names))
    reached = told.stage.begins + told.stage.share * within
    shown = round(max(told.shown, min(progress.NOT_YET_DONE, reached)), 4)
    return Told(told.stage, now, invocation.name, shown)
