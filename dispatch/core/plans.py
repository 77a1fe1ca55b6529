"""What planning says of one task once the input is known: how it is done, or why it is left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from protocol import steps as step_names
from protocol.media import MediaFacts
from protocol.profiles import Profile
from protocol.recipes import Cut, PicturePlan, Recipe, SourcePart
from protocol.results import Measured, StepReport
from protocol.states import StepState, TaskKind


@dataclass(frozen=True, slots=True)
class AttachedText:
    """Subtitles that came with the job, by their attachment's name."""

    name: str
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Beside:
    """What came with a job beside its input: its client's own thumbnail, subtitles to be published, and whether what a
    damaged input gives is published, too."""

    has_thumbnail: bool = False
    texts: tuple[AttachedText, ...] = ()
    allows_damage: bool = False


NOTHING_BESIDE = Beside()


@dataclass(frozen=True, slots=True)
class Film:
    """What is planned for: the profile, what is known of the input, and what `measure` found, where it ran.

    Once it went through `picturing.shown`, `facts` are those of the timeline, and `parts`, `cut` and `picture` make it.
    """

    profile: Profile
    facts: MediaFacts
    measured: Measured | None = None
    parts: tuple[SourcePart, ...] = ()
    cut: Cut | None = None
    picture: PicturePlan = field(default_factory=PicturePlan)
    beside: Beside = NOTHING_BESIDE

    @property
    def spared(self) -> Mapping[str, str]:
        """Why renditions are left out, by their names, that this film was found not to need."""
        return {one.rendition: one.reason for one in self.measured.dropped} if self.measured else {}


R = TypeVar("R", bound=Recipe, covariant=True)


@dataclass(frozen=True, slots=True)
class Planned(Generic[R]):
    """A task that is to be done: its recipe, what it needs beyond the operation, its estimated work, its steps at the start."""

    recipe: R
    needs: tuple[str, ...]
    cost_s: float
    steps: tuple[StepReport, ...]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A task that would make nothing of this input, or that nobody can do; `reason` is for clients."""

    reason: str


Plan = Planned[Recipe] | LeftOut


def steps_of(kind: TaskKind, profile: Profile, reasons: Mapping[str, str]) -> tuple[StepReport, ...]:
    """The task's steps, those with a reason skipped."""
    return tuple(
        StepReport(name=name, state=StepState.SKIPPED, reason=reasons[name])
        if name in reasons
        else StepReport(name=name, state=StepState.PENDING)
        for name in step_names.steps_of_task(kind, profile)
    )
