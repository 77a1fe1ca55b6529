"""Subtitles as players of HLS fetch them: WebVTT that tells which moment of the picture's clock is its 0, in one segment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from plugins.media import hls
from plugins.media.groups import START, TICKS, StreamedText, streamed_texts
from plugins.media.lengths import shown_until
from plugins.media.subtitles import ProvenText, vtt
from protocol.recipes import TranscodeRecipe
from protocol.results import FileRole, OutputFacts


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


def texts_of(recipe: TranscodeRecipe, proven: Sequence[ProvenText]) -> tuple[TextPlaylist, ...]:
    """The subtitles that the master playlist names."""
    cues = {one.planned.name: one.cues for one in proven}
    length = shown_until(recipe.source)
    return tuple(TextPlaylist(text, _timed(vtt(cues[text.planned.name])), length) for text in streamed_texts(recipe))


def _timed(content: str) -> bytes:
    """With the line that tells which moment of the picture's clock is the text's 0 (RFC 8216 3.5)."""
    first, _, rest = content.partition("\n")
    return f"{first}\nX-TIMESTAMP-MAP=MPEGTS:{START * TICKS},LOCAL:00:00:00.000\n{rest}".encode()
