"""Jobs of several tasks in the simulation: what each task stages, and that it reads what its sibling has staged last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dispatch.core.records import Task
from protocol.leases import TaskInput
from protocol.recipes import FramesRecipe, MeasureRecipe, PackageRecipe, Recipe, TranscodeRecipe, TranscribeRecipe
from protocol.results import FileRole, OutputFacts
from protocol.states import TaskKind, TaskState

READ_OF: Mapping[TaskKind, frozenset[TaskKind]] = {
    TaskKind.TRANSCRIBE: frozenset({TaskKind.TRANSCODE}),
    TaskKind.PACKAGE: frozenset({TaskKind.TRANSCODE}),
}
"""Written out once more: the code's own table is what is under test."""


def files_of(recipe: Recipe) -> list[tuple[str, OutputFacts]]:
    """What an attempt of this recipe stages."""
    match recipe:
        case TranscodeRecipe():
            return list(_of_transcode(recipe))
        case TranscribeRecipe():
            facts = OutputFacts(role=FileRole.TRANSCRIPT, language="en", word_count=3, model=recipe.model)
            return [(path, facts) for path in recipe.paths.values()]
        case MeasureRecipe():
            return [(recipe.content_path, OutputFacts(role=FileRole.CONTENT))] if recipe.content_path else []
        case FramesRecipe():
            return [(recipe.path, OutputFacts(role=FileRole.FRAMES, frame_count=20))]
        case PackageRecipe():
            return [(recipe.dash_manifest or "dash/manifest.mpd", OutputFacts(role=FileRole.MANIFEST))]
        case _:
            return []


def _of_transcode(recipe: TranscodeRecipe) -> Iterator[tuple[str, OutputFacts]]:
    for r in recipe.renditions:
        name, size = r.rendition.name, (r.width, r.height)
        yield r.path, OutputFacts(role=FileRole.RENDITION, rendition=name, codec="h264", width=size[0], height=size[1])
    if recipe.audio is not None:
        yield recipe.audio.path, OutputFacts(role=FileRole.AUDIO, codec="mp3", duration=20.0)
    if recipe.speech is not None:
        yield recipe.speech, OutputFacts(role=FileRole.SPEECH, duration=20.0)


def unfed(held: Task, tasks: list[Task]) -> str | None:
    """Why a task that is held cannot have what it reads; None when it can."""
    wanted = READ_OF.get(held.kind, frozenset())
    late = [task for task in tasks if task.kind in wanted and task.state is not TaskState.DONE]
    return f"{held.task_id} is held, and {late[0].task_id}, whose files it reads, is {late[0].state}" if late else None


def misread(read: TaskInput, tasks: Mapping[str, Task]) -> str | None:
    """What is wrong with a link to a sibling's file: it has to be of the token that settled the sibling."""
    task_id, token = read.access.url.split("/staging/")[1].split("/")[1:3]
    made = tasks[task_id]
    if made.state is TaskState.DONE and int(token) == made.token:
        return None
    return f"{read.name} is read under token {token} of {task_id}, which is {made.state} under {made.token}"
