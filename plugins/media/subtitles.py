"""Subtitles as they are published: what FFmpeg made of them is read cue by cue, laid on the outputs' timeline, and written
as SRT and WebVTT. What cannot be read is refused, and no cue lies outside the film.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice

from plugins.media.calling import text
from plugins.media.lengths import shown_until
from plugins.media.rejected import Rejected
from plugins.media.verdict import failed_by_itself, failure, judge
from protocol.errors import ErrorCode, FailureClass
from protocol.extras import TextFormat
from protocol.plugins import Outcome
from protocol.recipes import PlannedSubtitle, TranscodeRecipe
from protocol.results import Failure, FileRole, OutputFacts
from protocol.steps import EXTRACT_SUBTITLES

RAW = "raw_subtitles"
"""Where the tracks of the film lie below the work directory until they are read."""

FILM, PLAIN, RECODED, READ = "subtitles", "subtitle", "subtitle_recoded", "subtitle_read"
MOST_CUES = 40_000
"""Almost one every two seconds, for a day."""

_MARK = re.compile(r"^[ \t]*(\d{1,4}):(\d\d):(\d\d)[,.](\d{3}) --> (\d{1,4}):(\d\d):(\d\d)[,.](\d{3})\b.*$", re.MULTILINE)
_NEWLINE = re.compile(r"\r\n|\r|\n")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_TAG = re.compile(r"(</?[bius]>)|</?font[^<>]*>|\{\\[^{}]*\}")
_IN_VTT = frozenset({"<b>", "</b>", "<i>", "</i>", "<u>", "</u>"})


@dataclass(frozen=True, slots=True)
class Cue:
    """Milliseconds. `text` has no blank line and is not empty."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class ProvenText:
    """Subtitles that hold; `outside` is how many cues lie past the end of the film, and are not among `cues`. Where they are
    damaged, some of their file could not be read."""

    planned: PlannedSubtitle
    cues: tuple[Cue, ...]
    outside: int = 0
    is_damaged: bool = False


def plain_of(planned: PlannedSubtitle) -> str:
    return f"{PLAIN}:{planned.name}"


def recoded_of(planned: PlannedSubtitle) -> str:
    return f"{RECODED}:{planned.name}"


def is_one(name: str) -> bool:
    """Whether the invocation of that name is one of these."""
    return name.partition(":")[0] in (FILM, PLAIN, RECODED, READ)


def judged(outcome: Outcome) -> Failure | None:
    """A file that is none of the formats is the client's to mend."""
    kind, _, name = outcome.invocation.name.partition(":")
    if kind == PLAIN and failed_by_itself(outcome) and not _is_utf8(outcome):
        return None  # it is read in other letters, too
    if kind in (PLAIN, RECODED) and failed_by_itself(outcome):
        message = f"The subtitles that came with the job as {name} are no SRT, WebVTT or ASS file."
        return failure(FailureClass.INPUT, ErrorCode.INPUT_FORMAT, message, outcome, EXTRACT_SUBTITLES)
    return judge(outcome, reads_input=kind == FILM, step=EXTRACT_SUBTITLES)


def reads(ffmpeg: str, recipe: TranscodeRecipe) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Names and arguments of what reads the text that FFmpeg wrote of the film's tracks, as it is."""
    tracks = [one for one in recipe.subtitles if one.stream is not None]
    return tuple((f"{READ}:{one.name}", text(ffmpeg, f"{RAW}/{one.name}.srt")) for one in tracks)


def prove(recipe: TranscodeRecipe, outcomes: Mapping[str, Outcome]) -> tuple[ProvenText, ...]:
    """Raises Rejected for a text that was not made, or cannot be read."""
    length = shown_until(recipe.source)
    proven = []
    for one in recipe.subtitles:
        raw = _raw(one, outcomes)
        extracted = outcomes.get(FILM, raw) if one.stream is not None else raw
        proven.append(replace(_proven(one, raw.stdout, length), is_damaged="[error]" in extracted.stderr_tail))
    return tuple(proven)


def _raw(planned: PlannedSubtitle, outcomes: Mapping[str, Outcome]) -> Outcome:
    if planned.stream is not None:
        found = outcomes.get(f"{READ}:{planned.name}")
    else:
        found = outcomes.get(plain_of(planned))
        if found is not None and not _is_utf8(found):
            found = outcomes.get(recoded_of(planned))
    if found is None:
        raise Rejected(ErrorCode.OUTPUT_INVALID, f"The subtitles {planned.name} were not made.", EXTRACT_SUBTITLES)
    return found


def _is_utf8(outcome: Outcome) -> bool:
    return "Invalid UTF-8" not in outcome.stderr_tail


def _proven(planned: PlannedSubtitle, raw: bytes, length: Fraction) -> ProvenText:
    try:
        cues = parse(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        message = f"The subtitles {planned.name} are no UTF-8."
        raise Rejected(ErrorCode.OUTPUT_INVALID, message, EXTRACT_SUBTITLES) from error
    if len(cues) > MOST_CUES:
        message = f"The subtitles {planned.name} have more than {MOST_CUES} cues, which is all that is taken."
        raise Rejected(ErrorCode.INPUT_LIMITS, message, EXTRACT_SUBTITLES)
    begin, end = int(Fraction(planned.offset) * 1000), int(length * 1000)
    laid = [Cue(max(0, cue.start - begin), min(end, cue.end - begin), cue.text) for cue in cues]
    kept = tuple(cue for cue in laid if cue.start < cue.end)
    late = sum(cue.start >= end for cue in laid)
    return ProvenText(planned, kept, late if begin == 0 and planned.attachment is not None else 0)


def parse(srt: str) -> tuple[Cue, ...]:
    """The cues in the order of their moments. Text between two marks belongs to the first of them, but for the line before
    the second, its number. Raises nothing: what is no cue is passed over. At most one more than a film can have is read.
    """
    text = _CONTROL.sub("", _NEWLINE.sub("\n", srt))
    marks = list(islice(_MARK.finditer(text), MOST_CUES + 1))
    ends = [text.rfind("\n", 0, max(0, one.start() - 1)) for one in marks[1:]]
    cues = []
    for found, until in zip(marks, (*ends, len(text)), strict=False):  # where nothing is marked, nothing ends
        shown = "\n".join(filter(None, map(str.rstrip, text[found.end() : until].split("\n"))))
        start, end = (_moment(*found.groups()[k : k + 4]) for k in (0, 4))
        if shown and start < end:
            cues.append(Cue(start, end, shown))
    return tuple(sorted(cues, key=lambda cue: (cue.start, cue.end)))


def _moment(hours: str, minutes: str, seconds: str, thousandths: str) -> int:
    return ((int(hours) * 60 + int(minutes)) * 60 + int(seconds)) * 1000 + int(thousandths)


def srt(cues: Sequence[Cue]) -> str:
    told = [f"{n}\n{mark(cue.start, ',')} --> {mark(cue.end, ',')}\n{cue.text}\n" for n, cue in enumerate(cues, start=1)]
    return "\n".join(told) or "\n"


def vtt(cues: Iterable[Cue]) -> str:
    """W3C WebVTT: bold, italics and underlines stay, every other `<` and `&` is a letter."""
    told = (f"{mark(cue.start)} --> {mark(cue.end)}\n{_in_vtt(cue.text)}\n" for cue in cues)
    return "\n".join(("WEBVTT\n", *told))


def mark(milliseconds: int, point: str = ".") -> str:
    """`01:02:03.004`."""
    seconds, thousandths = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{point}{thousandths:03d}"


def _in_vtt(words: str) -> str:
    told, last = [], 0
    for tag in _TAG.finditer(words):
        told += [_escaped(words[last : tag.start()]), tag[0] if tag[0] in _IN_VTT else ""]
        last = tag.end()
    shown = "".join((*told, _escaped(words[last:])))
    return "\n".join(line for line in shown.split("\n") if line.strip()) or "&nbsp;"


def _escaped(words: str) -> str:
    return words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


WRITERS = {TextFormat.SRT: srt, TextFormat.VTT: vtt}


def files(proven: Iterable[ProvenText]) -> Mapping[str, tuple[bytes, OutputFacts]]:
    """Every file to be published by its path."""
    return {
        path: (
            WRITERS[kind](one.cues).encode(),
            OutputFacts(role=FileRole.SUBTITLE, language=one.planned.language, codec=kind.value),
        )
        for one in proven
        for kind, path in one.planned.paths.items()
    }


def chapters(recipe: TranscodeRecipe) -> bytes:
    """The chapters of the timeline as WebVTT; one without a title is called by its number."""
    told = enumerate(recipe.source.chapters, start=1)
    cues = [Cue(_thousandths(one.start), _thousandths(one.end), one.title or f"Chapter {n}") for n, one in told]
    marks = (f"{mark(cue.start)} --> {mark(cue.end)}\n{_escaped(cue.text)}\n" for cue in cues if cue.start < cue.end)
    return "\n".join(("WEBVTT\n", *marks)).encode()


def _thousandths(moment: str) -> int:
    return round(Fraction(moment) * 1000)


def warnings(proven: Iterable[ProvenText]) -> tuple[str, ...]:
    """What a client should know of subtitles that were made."""
    told = []
    for one in proven:
        if one.is_damaged:
            told.append(f"Parts of the subtitles {one.planned.name} are damaged and left out.")
        if one.outside:
            told.append(f"{one.outside} cues of the subtitles {one.planned.name} lie past the end of the film and are left out.")
        elif not one.cues:
            told.append(f"The subtitles {one.planned.name} are empty.")
    return tuple(told)
