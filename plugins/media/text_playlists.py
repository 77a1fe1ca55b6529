"""Subtitles as players of HLS fetch them: WebVTT that tells which moment of the picture's clock is its 0, in one segment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from plugins.media import hls
from plugins.media.groups import START, TEXT, TICKS, StreamedText, streamed_texts
from plugins.media.rejected import Rejected
from protocol.errors import ErrorCode
from protocol.plugins import Outcome
from protocol.recipes import TranscodeRecipe
from protocol.results import FileRole, OutputFacts
from protocol.steps import EXTRACT_SUBTITLES


@dataclass(frozen=True, slots=True)
class TextPlaylist:
    """Subtitles of a film that lasts so many seconds, as players fetch them."""

    text: StreamedText
    segment: bytes
    seconds: Fraction

    def files(self) -> Iterator[tuple[str, bytes, OutputFacts]]:
        """Path, content and facts of its segment and of its playlist."""
        planned, seconds = self.text.planned, round(float(self.seconds), 6)
        told = OutputFacts(role=FileRole.SEGMENT, track=planned.name, language=planned.language, duration=seconds)
        yield self.text.segment, self.segment, told
        update = {"role": FileRole.PLAYLIST, "codec": "webvtt", "segment_count": 1, "segments_bytes": len(self.segment)}
        uri = hls.relative(self.text.segment, self.text.playlist)
        yield self.text.playlist, hls.single(uri, self.seconds), told.model_copy(update=update)


def texts_of(recipe: TranscodeRecipe, outcomes: Mapping[str, Outcome]) -> tuple[TextPlaylist, ...]:
    """The subtitles that the master playlist names. Raises Rejected."""
    return tuple(_text(recipe, text, outcomes.get(f"{TEXT}:{text.source}")) for text in streamed_texts(recipe))


def _text(recipe: TranscodeRecipe, text: StreamedText, outcome: Outcome | None) -> TextPlaylist:
    segment = _timed(outcome.stdout) if outcome else None
    if segment is None:
        raise Rejected(ErrorCode.OUTPUT_INVALID, f"{text.source} is not WebVTT.", EXTRACT_SUBTITLES)
    return TextPlaylist(text, segment, Fraction(recipe.source.duration))


def _timed(content: bytes) -> bytes | None:
    """With the line that tells which moment of the picture's clock is the text's 0 (RFC 8216 3.5)."""
    first, _, rest = content.decode("utf-8", "replace").lstrip("\ufeff").replace("\r\n", "\n").partition("\n")
    if not first.startswith("WEBVTT"):
        return None
    return f"{first}\nX-TIMESTAMP-MAP=MPEGTS:{START * TICKS},LOCAL:00:00:00.000\n{rest}".encode()
