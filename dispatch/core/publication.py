"""What a completed job publishes: `metadata.json` and the `outputs` of the API, from rows alone, so a redo is the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import orjson

from dispatch.core import thumbnails
from dispatch.core.planning import STEPS, load_profile
from dispatch.core.records import Attempt, Graph, Job, StagedRow
from dispatch.core.thumbnails import Picture
from dispatch.core.told import about, findings, pictures, renditions, sounds, streams, texts
from dispatch.core.told.made import Fields, Made, Output, Teller, for_api, kept_back, prefix_of, url_of
from protocol.results import UNPUBLISHED_ROLES, FileRole, OutputFacts

METADATA = "metadata.json"

TELLERS: tuple[Teller, ...] = (
    streams.tell,
    sounds.tell,
    texts.tell_transcription,
    pictures.tell_thumbnails,
    pictures.tell_sprite,
    texts.tell_subtitles,
    pictures.tell_frames,
    findings.tell,
)
"""All but renditions, whose shape in the API is another: what these tell, both have."""


@dataclass(frozen=True, slots=True)
class Publication:
    """`metadata` is the file's bytes; `outputs_json` is what the job row keeps for the API."""

    target: str
    metadata: bytes
    outputs_json: str


def told_rows(staged: Iterable[StagedRow]) -> list[StagedRow]:
    """Of what is there to tell: all but what was staged for a sibling task alone."""
    return [row for row in staged if _role(row) not in UNPUBLISHED_ROLES]


def published_rows(job: Job, staged: Iterable[StagedRow]) -> list[StagedRow]:
    """Without what was staged for a sibling task alone, and without the clear MP4s of what is encrypted."""
    hidden = UNPUBLISHED_ROLES | kept_back(load_profile(job.profile_json))
    return [row for row in staged if _role(row) not in hidden]


def _role(row: StagedRow) -> FileRole:
    return OutputFacts.model_validate_json(row.facts_json).role


def published_prefix(job: Job) -> str:
    return prefix_of(job)


def sent_picture(job: Job, staged: Iterable[StagedRow]) -> Picture | None:
    """The client's own picture where it is published as it was sent: no task encoded it anew."""
    own = any(OutputFacts.model_validate_json(row.facts_json).is_own for row in staged)
    return None if own else thumbnails.of_job(job)


def publication(graph: Graph, staged: Sequence[StagedRow], attempts: Sequence[Attempt]) -> Publication:
    """Raises nothing: whatever rows there are, they are told."""
    outputs = sorted((Output(row, OutputFacts.model_validate_json(row.facts_json)) for row in staged), key=_place)
    made = Made(graph, load_profile(graph.job.profile_json), tuple(outputs), _durations(graph))
    told = {key: value for tell in TELLERS for key, value in tell(made).items()}
    ratios, scores = renditions.ratios(made), renditions.scores(made)
    metadata = {
        **about.job_fields(made),
        "outputs": {**renditions.in_file(made), **told},
        **texts.spoken(told),
        "compression_ratio": ratios,
        "quality_metrics": scores,
        "recipe": about.recipe(made, attempts),
    }
    written = orjson.dumps(metadata, option=orjson.OPT_INDENT_2)
    api = {
        "outputs": {**renditions.in_api(made), **_fetched(made, told), "metadata_json": _metadata_place(graph.job, written)},
        "size_bytes": len(written) + sum(output.row.size for output in made.published()),
        "compression": {k if k.startswith("total") else f"{k}_ratio": v for k, v in ratios.items()},
        "quality_metrics": scores,
    }
    return Publication(published_prefix(graph.job), written, orjson.dumps(api).decode())


def _place(output: Output) -> tuple[int, str]:
    return output.facts.percent or 0, output.row.path


def _fetched(made: Made, told: Fields) -> Fields:
    """With addresses. A picture published as it was sent is in no row of a task: its digest is told here."""
    api: Fields = for_api(made.job, told)
    sent = sent_picture(made.job, (output.row for output in made.outputs))
    if sent is not None:
        api["thumbnails"]["custom"]["sha256"] = sent.sha256
    return api


def _metadata_place(job: Job, written: bytes) -> Fields:
    digest = hashlib.sha256(written).hexdigest()
    return {"url": url_of(job, METADATA), "path": METADATA, "size_bytes": len(written), "sha256": digest}


def _durations(graph: Graph) -> Mapping[str, float | None]:
    steps = (step for task in graph.tasks for step in STEPS.validate_json(task.steps_json))
    return {step.name: step.duration_seconds for step in steps}
