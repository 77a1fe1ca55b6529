"""What was said, and when: a transcript and its four forms. Pure, and used by the tool process as well."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

LEAST_CUE_S = 0.001


@dataclass(frozen=True, slots=True)
class Word:
    """Seconds from the start of the sound; `probability` is 0 to 1."""

    word: str
    start: float
    end: float
    probability: float


@dataclass(frozen=True, slots=True)
class Segment:
    """One piece of speech. `words` is None where the model does not time words, `probability` where it tells none."""

    start: float
    end: float
    text: str
    probability: float | None = None
    words: tuple[Word, ...] | None = None


@dataclass(frozen=True, slots=True)
class Transcript:
    """`language_probability` is None where the language was given, or is the only one the model knows."""

    language: str
    language_probability: float | None
    model: str
    duration: float
    segments: tuple[Segment, ...]

    @property
    def word_count(self) -> int:
        return sum(len(segment.text.split()) for segment in self.segments)


def tidied(segments: Iterable[Segment], duration: float) -> tuple[Segment, ...]:
    """In order, within the sound, none over the next, none empty: what a player's subtitles have to be."""
    said = sorted((s for s in segments if s.text.strip() and s.start < duration), key=lambda segment: segment.start)
    limits = (*(segment.start for segment in said[1:]), duration)
    return tuple(
        Segment(
            start=round(segment.start, 3),
            end=round(max(segment.start + LEAST_CUE_S, min(segment.end, limit)), 3),
            text=" ".join(segment.text.split()),
            probability=segment.probability,
            words=segment.words,
        )
        for segment, limit in zip(said, limits, strict=False)  # nothing said still has its one limit
    )


def forms(transcript: Transcript) -> dict[str, str]:
    """The four files, by their ending."""
    segments = transcript.segments
    return {
        "txt": "".join(f"{segment.text}\n" for segment in segments),
        "srt": "\n".join(_srt_cue(number, segment) for number, segment in enumerate(segments, 1)),
        "vtt": "WEBVTT\n" + "".join(f"\n{_span(s, '.')}\n{_vtt_text(s.text)}\n" for s in segments),
        "json": json.dumps(_json(transcript), ensure_ascii=False, indent=1) + "\n",
    }


def _json(transcript: Transcript) -> dict[str, Any]:
    text = " ".join(segment.text for segment in transcript.segments)
    return {**asdict(transcript), "text": text, "word_count": transcript.word_count}


def _srt_cue(number: int, segment: Segment) -> str:
    return f"{number}\n{_span(segment, ',')}\n{segment.text.replace('-->', '->')}\n"


def _vtt_text(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _span(segment: Segment, mark: str) -> str:
    return f"{clock(segment.start, mark)} --> {clock(segment.end, mark)}"


def clock(seconds: float, mark: str) -> str:
    """`01:02:03.456`, with `mark` before the milliseconds."""
    whole, thousandths = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}{mark}{thousandths:03d}"


def problem_of(written: dict[str, str], duration: float) -> str | None:
    """What is wrong with the four files as they were read back; None when they are one transcript of this sound."""
    try:
        told = json.loads(written["json"])
        segments = [Segment(**{**each, "words": _words(each["words"])}) for each in told["segments"]]
        transcript = Transcript(told["language"], told["language_probability"], told["model"], told["duration"], tuple(segments))
    except (ValueError, KeyError, TypeError) as error:
        return f"the JSON is no transcript: {type(error).__name__}"
    if not _in_order(segments, duration):
        return "a segment lies outside of the sound, or over another"
    wanted = forms(transcript)
    return next((f"the {form} tells something else than the JSON" for form in wanted if written[form] != wanted[form]), None)


def _words(told: Sequence[dict[str, Any]] | None) -> tuple[Word, ...] | None:
    return None if told is None else tuple(Word(**word) for word in told)


def _in_order(segments: Sequence[Segment], duration: float) -> bool:
    """Times stand in milliseconds, so neighbours may meet to within one."""
    before = 0.0
    for segment in segments:
        if not before - LEAST_CUE_S <= segment.start < segment.end <= duration + 2 * LEAST_CUE_S:
            return False
        before = segment.end
    return True
