"""Text: the transcription, and subtitles by their language."""

from __future__ import annotations

from dispatch.core.told.made import Fields, Made, place
from protocol import steps as step_names
from protocol.results import FileRole

FORMATS = {"txt": "text", "srt": "srt", "vtt": "vtt", "json": "json"}


def tell_transcription(made: Made) -> Fields:
    found = made.of(FileRole.TRANSCRIPT)
    if not found:
        return {}
    facts = found[0].facts
    files = {FORMATS[ending]: place(one) for one in found if (ending := one.row.path.rpartition(".")[2]) in FORMATS}
    told = {
        **files,
        "language": facts.language,
        "word_count": facts.word_count,
        "whisper_model": facts.model,
        "processing_time_seconds": made.took.get(step_names.TRANSCRIBE_VIDEO),
    }
    return {"transcription": told}


def spoken(outputs: Fields) -> Fields:
    """The keys of `metadata.json` on it that stand outside of `outputs`."""
    told = outputs.get("transcription")
    return {} if told is None else {"transcription_language": told["language"], "whisper_model": told["whisper_model"]}


def tell_subtitles(made: Made) -> Fields:
    """Chapters, and subtitles by their names: the language, with `-2` for a second one of it and `-forced` for what foreign
    speech alone needs."""
    told: Fields = {}
    for one in made.of(FileRole.SUBTITLE):
        name, _, ending = one.row.path.rpartition("/")[2].rpartition(".")
        told.setdefault(name, {"language": one.facts.language})[ending] = place(one)
    chapters = made.first(FileRole.CHAPTERS)
    return {**({"subtitles": told} if told else {}), **({"chapters": place(chapters)} if chapters is not None else {})}
