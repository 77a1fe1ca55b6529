"""What the tasks beside the encode made, as `metadata.json` tells it: transcription, frames, manifests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dispatch.core.records import StagedRow
from protocol import steps as step_names
from protocol.results import FileRole, OutputFacts

FORMATS = {"txt": "text", "srt": "srt", "vtt": "vtt", "json": "json"}
Made = Sequence[tuple[StagedRow, OutputFacts]]
Took = Mapping[str, float | None]
Fields = dict[str, Any]  # JSON under construction


def in_metadata(outputs: Made, took: Took) -> Fields:
    """By their names in `outputs`; what was not made is not there."""
    return {**_transcription(outputs, took), **_frames(outputs, took), **_manifests(outputs, took)}


def keys(made: Mapping[str, Any]) -> Fields:
    """The keys of `metadata.json` that stand outside of `outputs`."""
    told = made.get("transcription")
    return {} if told is None else {"transcription_language": told["language"], "whisper_model": told["whisper_model"]}


def _transcription(outputs: Made, took: Took) -> Fields:
    found = [(row, facts) for row, facts in outputs if facts.role is FileRole.TRANSCRIPT]
    if not found:
        return {}
    facts = found[0][1]
    files = {FORMATS[ending]: _place(row) for row, _ in found if (ending := row.path.rpartition(".")[2]) in FORMATS}
    told = {
        **files,
        "language": facts.language,
        "word_count": facts.word_count,
        "whisper_model": facts.model,
        "processing_time_seconds": took.get(step_names.TRANSCRIBE_VIDEO),
    }
    return {"transcription": told}


def _frames(outputs: Made, took: Took) -> Fields:
    found = next((output for output in outputs if output[1].role is FileRole.FRAMES), None)
    if found is None:
        return {}
    row, facts = found
    took_s = took.get(step_names.EXTRACT_FRAMES)
    return {"frames": {**_place(row), "count": facts.frame_count, "processing_time_seconds": took_s}}


def _manifests(outputs: Made, took: Took) -> Fields:
    """The packager's: HLS where its master playlist stands, as with FFmpeg's, and DASH."""
    row = next((row for row, facts in outputs if facts.role is FileRole.MANIFEST), None)
    took_s = took.get(step_names.PACKAGE_STREAMS)
    return {} if row is None else {"dash": {**_place(row), "processing_time_seconds": took_s}}


def _place(row: StagedRow) -> Fields:
    return {"path": row.path, "size_bytes": row.size}
