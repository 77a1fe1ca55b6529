"""What a recipe reads: the job's input, files that its siblings staged, files that came with the job. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dispatch.core import attachments, thumbnails
from dispatch.core.ladder import SPEECH_PATH
from dispatch.core.records import Job
from dispatch.core.texts import ATTACHED
from protocol.recipes import (
    AnalyzeRecipe,
    LiveRecipe,
    MeasureRecipe,
    NoopRecipe,
    PackageRecipe,
    Recipe,
    TranscodeRecipe,
    TranscribeRecipe,
)

THUMBNAIL = "thumbnail"
"""The name of the client's own picture among a task's inputs."""


SOURCE = "source"
"""What the link to a job's input ends with."""


@dataclass(frozen=True, slots=True)
class Brought:
    """A file that came with a job beside its input; `path` in the storage."""

    path: str
    filename: str
    size: int
    sha256: str | None = None


def brought_files(job: Job) -> Mapping[str, Brought]:
    """By the name that a task's inputs have for each."""
    found = {attached(name): Brought(one.path, one.filename, one.size) for name, one in attachments.of_job(job).items()}
    picture = thumbnails.of_job(job)
    if picture is not None:
        found[THUMBNAIL] = Brought(picture.path, f"thumbnail.{picture.type}", picture.size, picture.sha256)
    return found


def attached(name: str) -> str:
    """What a task calls the attachment of that name."""
    return f"{ATTACHED}{name}"


def reads_input(recipe: Recipe) -> bool:
    return not isinstance(recipe, TranscribeRecipe | PackageRecipe | LiveRecipe | NoopRecipe)


def read_paths(recipe: Recipe) -> Mapping[str, str]:
    """What the recipe reads of its siblings' staged files: the path of each by the name the task knows it by."""
    match recipe:
        case TranscribeRecipe():
            return {"speech": SPEECH_PATH}
        case PackageRecipe():
            texts = {f"text-{one.name}": path for one in recipe.subtitles for path in one.paths.values()}
            return {planned.rendition.name: planned.path for planned in recipe.renditions} | texts
        case _:
            return {}


def brought_names(recipe: Recipe) -> frozenset[str]:
    """The names of the inputs that came with the job: attachments, and the client's own picture."""
    match recipe:
        case AnalyzeRecipe():
            return frozenset(recipe.parts)
        case MeasureRecipe():
            return frozenset(part.attachment for part in recipe.parts if part.attachment is not None)
        case TranscodeRecipe():
            picture = recipe.picture
            named = (
                *(part.attachment for part in recipe.parts),
                *(subtitle.attachment for subtitle in recipe.subtitles),
                picture.overlay.attachment if picture.overlay else None,
                picture.burn_in.attachment if picture.burn_in else None,
                THUMBNAIL if recipe.own_thumbnail else None,
            )
            return frozenset(name for name in named if name is not None)
        case _:
            return frozenset()
