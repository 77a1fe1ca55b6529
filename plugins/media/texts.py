"""What a file says in words: titles, languages, chapters. Data of strangers: cut short, without control characters."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from fractions import Fraction

from plugins.media.entries import Entry, fraction
from protocol.media import Chapter, SubtitleStream

MOST_CHARACTERS, MOST_CHAPTERS = 120, 500
TEXT_CODECS = frozenset({"subrip", "srt", "ass", "ssa", "mov_text", "webvtt", "text"})
"""Subtitles that are words; others are pictures of them, or captions inside the picture's stream."""

_UNSHOWN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def clean(value: object) -> str:
    """As it may stand in a message or a playlist: "" for what is no text."""
    if not isinstance(value, str):
        return ""
    shown = (character for character in value[: 4 * MOST_CHARACTERS] if unicodedata.category(character) not in _UNSHOWN)
    return "".join(shown).strip()[:MOST_CHARACTERS].strip()


def title(stream: Entry) -> str | None:
    return clean(_tags(stream).get("title")) or None


def language(stream: Entry) -> str | None:
    told = _tags(stream).get("language")
    return told if isinstance(told, str) and re.fullmatch(r"[A-Za-z]{2,3}", told) else None


def is_set(stream: Entry, flag: str) -> bool:
    return bool((stream.get("disposition") or {}).get(flag))


def subtitles(streams: Sequence[Entry]) -> tuple[SubtitleStream, ...]:
    return tuple(
        SubtitleStream(
            index=int(stream["index"]),
            codec=clean(stream.get("codec_name")) or "unknown",
            language=language(stream),
            title=title(stream),
            is_text=stream.get("codec_name") in TEXT_CODECS,
            is_forced=is_set(stream, "forced"),
        )
        for stream in streams
        if stream.get("codec_type") == "subtitle"
    )


def chapters(entries: Sequence[Entry], origin: Fraction, duration: Fraction) -> tuple[Chapter, ...]:
    """Those that lie within the film, in their order. `origin` is when the file begins, by its own clock."""
    found: list[Chapter] = []
    for entry in sorted(entries[: 10 * MOST_CHAPTERS], key=lambda entry: fraction(entry.get("start_time")) or 0):
        start, end = fraction(entry.get("start_time")), fraction(entry.get("end_time"))
        if start is None or end is None:
            continue
        first, last = max(Fraction(0), start - origin), min(duration, end - origin)
        if first < last:
            found.append(Chapter(start=_text(first), end=_text(last), title=clean(_tags(entry).get("title"))))
    return tuple(found[:MOST_CHAPTERS])


def _tags(entry: Entry) -> Entry:
    tags = entry.get("tags")
    return tags if isinstance(tags, dict) else {}


def _text(value: Fraction) -> str:
    return str(value.limit_denominator(10**9))
