"""What a finished job left on record, and where its time went by it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from protocol.recipes import TranscodeRecipe

METADATA = "metadata.json"
Json = Mapping[str, Any]  # the API's answer and metadata.json, as they are


@dataclass(frozen=True, slots=True)
class Finished:
    """A completed job: `sent` is when its submission went out, `done` when the client heard that it is completed, `staged` when
    each of its files was written, the first first: Unix seconds of this machine's clock. `tools` is what ran, in order; `cpu`
    the seconds that dispatch and the engine themselves used.
    """

    sent: float
    done: float
    view: Json
    cpu: float
    tools: Sequence[Json]
    staged: Sequence[float]

    @property
    def wall(self) -> float:
        return self.done - self.sent

    @property
    def cpu_with_tools(self) -> float:
        return self.cpu + sum(float(tool["cpu_seconds"]) for tool in self.tools)

    @property
    def encode(self) -> Json:
        """The one process that made every output, as the record has it."""
        return next(tool for tool in self.tools if _is_encode(tool))


def finished(view: Json, published: Path, *, sent: float, done: float, cpu: float) -> Finished:
    """`published` is the directory with the job's outputs. Staging writes each file once, publishing keeps its time."""
    tools = json.loads((published / METADATA).read_text(encoding="utf-8"))["recipe"]["tools"]
    staged = sorted(path.stat().st_mtime for path in published.rglob("*") if path.is_file() and path.name != METADATA)
    return Finished(sent, done, view, cpu, tools, staged)


def recipe_of(database: Path, job_id: str) -> TranscodeRecipe:
    """What the engine was asked to make, from the rows of dispatch."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        asked = "SELECT recipe_json FROM tasks WHERE job_id = ? AND kind = 'transcode'"
        return TranscodeRecipe.model_validate_json(connection.execute(asked, (job_id,)).fetchone()[0])


def parts(job: Finished) -> dict[str, float]:
    """Seconds of each part, in order; together they are the job's wall time."""
    analyze, transcode = _attempt(job.view, "analyze"), _attempt(job.view, "transcode")
    walls = [float(tool["wall_seconds"]) for tool in job.tools]
    encode_at = next(n for n, tool in enumerate(job.tools) if _is_encode(tool))
    probing, encoding, checking = sum(walls[:encode_at]), walls[encode_at], sum(walls[encode_at + 1 :])
    started, ended = _moment(transcode["started_at"]), _moment(transcode["ended_at"])
    return {
        "accept, grant": _moment(analyze["started_at"]) - job.sent,
        "analyze: tools": probing,
        "analyze: fetch, report": _span(analyze) - probing,
        "grant the transcode": started - _moment(analyze["ended_at"]),
        "fetch": job.staged[0] - started - encoding - checking,
        "encode": encoding,
        "verify": checking,
        "upload": job.staged[-1] - job.staged[0],
        "report": ended - job.staged[-1],
        "publish": job.done - ended,
    }


def _is_encode(tool: Json) -> bool:
    return "-filter_complex" in tool["argv"] and "-progress" in tool["argv"]


def _attempt(view: Json, kind: str) -> Json:
    """Raises ValueError when the job needed more than one attempt: its time would tell nothing."""
    (only,) = (attempt for attempt in view["attempts"] if attempt["kind"] == kind)
    found: Json = only
    return found


def _span(attempt: Json) -> float:
    return _moment(attempt["ended_at"]) - _moment(attempt["started_at"])


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
