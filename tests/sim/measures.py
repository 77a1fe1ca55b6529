"""Jobs whose encode is planned by what `measure` found, in the simulation: what it finds, what must wait for it, and those
rules taken out."""

from __future__ import annotations

from typing import Any

from dispatch.core import followers, ladder
from dispatch.core.planning import RECIPE
from dispatch.core.records import Job, Task
from protocol.encoding import Target
from protocol.extras import ContentAnalysis
from protocol.profiles import Profile
from protocol.recipes import MeasureRecipe, TranscodeRecipe
from protocol.results import FoundRate, Measured
from protocol.states import TaskKind, TaskState
from tests.sim.corners import draw_measured
from tests.sim.mutant import Mutant

PLANNED_OF = frozenset({TaskKind.TRANSCODE, TaskKind.HANDBRAKE, TaskKind.TRANSCRIBE, TaskKind.PACKAGE})
"""Written out once more: the code's own table is what is under test."""


def measured_film(film: Profile) -> Profile:
    """The same with renditions that aim at a quality, and the content besides."""
    aimed = tuple(one.model_copy(update={"crf": None, "target": Target(vmaf=93)}) for one in film.renditions)
    return film.model_copy(update={"name": "measured", "renditions": aimed, "content": ContentAnalysis()})


def found(recipe: MeasureRecipe, token: int) -> Measured:
    """No two attempts find the same, so that it shows which of them the encode was planned by."""
    crf = 20 + token % 200 / 10
    return Measured(rates=tuple(FoundRate(rendition=one.rendition.name, crf=crf, vmaf=93, probes=()) for one in recipe.probes))


def unplanned(held: Task, tasks: list[Task], job: Job) -> str | None:
    """Why a task that is held cannot be what was planned by the result of another; None when it is."""
    measure = next((task for task in tasks if task.kind is TaskKind.MEASURE), None)
    if measure is None or held.kind not in PLANNED_OF:
        return None
    if measure.state not in (TaskState.DONE, TaskState.SKIPPED):
        return f"{held.task_id} is held, and {measure.task_id}, which it is planned by, is {measure.state}"
    recipe = RECIPE.validate_json(held.recipe_json or "")
    if measure.state is not TaskState.DONE or not isinstance(recipe, TranscodeRecipe):
        return None
    wanted = {one.rendition: one.crf for one in Measured.model_validate_json(job.measured_json or "{}").rates}
    planned = {one.rendition.name: one.spends.crf for one in recipe.renditions}
    return None if planned == wanted else f"{held.task_id} is held to encode by {planned}, and {wanted} was found"


def _as_it_was(film: Any, planned: Any) -> Any:
    return planned


MEASURES: dict[str, Mutant] = {
    "planned before it is measured": Mutant(
        "what is planned by a result waits for it", followers, "PLANNED_BY", {}, draw_measured
    ),
    "what was found is not used": Mutant("the encode is planned by what was found", ladder, "rated", _as_it_was, draw_measured),
}
