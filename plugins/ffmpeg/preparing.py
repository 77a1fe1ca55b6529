"""What an encode needs before it can begin: subtitles as a script of our own, and a watermark that is a picture."""

from __future__ import annotations

from collections.abc import Sequence

from plugins.ffmpeg import burning
from plugins.ffmpeg.overlays import SUBTITLES, mark
from plugins.ffmpeg.sources import MARK, MOST_MARK_PIXELS
from plugins.media import verdict
from plugins.media.calling import quiet
from protocol.errors import ErrorCode, FailureClass
from protocol.plugins import Invocation, Limits, Outcome, Work
from protocol.recipes import PlannedOverlay, TranscodeRecipe
from protocol.results import Failure

TEXTS, RECODED, PICTURE = "subtitles_to_burn", "subtitles_to_burn_recoded", "watermark"
NAMES = frozenset({TEXTS, RECODED, PICTURE})
FALLBACK = ("-sub_charenc", "ISO-8859-1")
"""In which every byte is a letter: for files that are no UTF-8, of which FFmpeg drops lines with exit code 0."""

NO_UTF8 = "Invalid UTF-8"
CAPTURE_BYTES = 2 * burning.MOST_BYTES
PICTURE_LIMITS = Limits(wall_s=60.0, cpu_s=60, memory_bytes=2 << 30, file_bytes=1 << 20)

_NO_TEXT = "The subtitles to be drawn into the picture cannot be read; give SRT, WebVTT or ASS."
_UNREADABLE = {
    TEXTS: _NO_TEXT,
    RECODED: _NO_TEXT,
    PICTURE: f"The watermark is no JPEG, PNG or WebP picture of at most {MOST_MARK_PIXELS >> 20} million pixels, or too thin.",
}


def invocations(ffmpeg: str, work: Work, recipe: TranscodeRecipe, own: str) -> tuple[Invocation, ...]:
    """Run before everything else; `own` is the path of the job's input. Raises KeyError for an attachment that is not there."""
    made: list[Invocation] = []
    burn_in, overlay = recipe.picture.burn_in, recipe.picture.overlay
    if burn_in is not None:
        path = own if burn_in.attachment is None else work.inputs[burn_in.attachment]
        ways = {TEXTS: (), **({} if burn_in.attachment is None else {RECODED: FALLBACK})}
        for name, letters in ways.items():
            argv = burning.convert(ffmpeg, burn_in, letters)
            made.append(Invocation(name=name, argv=argv, reads=(path,), limits=burning.LIMITS, capture_bytes=CAPTURE_BYTES))
    if overlay is not None:
        argv = (ffmpeg, *quiet(), *MARK, "-fd", "{fd0}", "-i", "fd:", "-map", "0:v:0", *_shaped(recipe, overlay))
        made.append(Invocation(name=PICTURE, argv=argv, reads=(work.inputs[overlay.attachment],), limits=PICTURE_LIMITS))
    return tuple(made)


def _shaped(recipe: TranscodeRecipe, overlay: PlannedOverlay) -> tuple[str, ...]:
    """As the encode will have it: one so thin that nothing is left of it is told of here."""
    video = recipe.source.video
    shape = ("-vf", mark(recipe, overlay, (video.width, video.height))) if video is not None else ()
    return (*shape, "-frames:v", "1", "-f", "null", "-")


def files(recipe: TranscodeRecipe, outcomes: Sequence[Outcome]) -> tuple[tuple[str, bytes], ...]:
    """What the encode must find in its directory, by path."""
    video = recipe.source.video
    texts = {outcome.invocation.name: outcome for outcome in outcomes if outcome.invocation.name in (TEXTS, RECODED)}
    if recipe.picture.burn_in is None or video is None or not texts:
        return ()
    plain, recoded = texts.get(TEXTS), texts.get(RECODED)
    if recoded is not None and (plain is None or _is_garbled(plain)):
        text = _letters(recoded.stdout)
    else:
        text = plain.stdout if plain else b""
    return ((SUBTITLES, burning.script(text, (video.width, video.height))),)


def _letters(stdout: bytes) -> bytes:
    """What was read byte by byte. Where those bytes make sense as UTF-8 they are: FFmpeg takes lines of UTF-16 for damaged."""
    try:
        return stdout.decode("utf-8").encode("latin-1").decode("utf-8").encode()
    except UnicodeError:
        return stdout


def _is_garbled(outcome: Outcome) -> bool:
    return outcome.exit_code != 0 or NO_UTF8 in outcome.stderr_tail


def judge(outcome: Outcome, recipe: TranscodeRecipe) -> Failure | None:
    """Of one of these invocations: what cannot be read is the client's. A file that is no UTF-8 has its second reading."""
    burn_in = recipe.picture.burn_in
    has_second = outcome.invocation.name == TEXTS and burn_in is not None and burn_in.attachment is not None
    if has_second and _is_garbled(outcome) and outcome.exit_code >= 0 and not outcome.timed_out:
        return None
    if outcome.exit_code > 0 and outcome.exit_code != verdict.STOPPED_BY_SIGNAL:
        message = _UNREADABLE[outcome.invocation.name]
        return verdict.failure(FailureClass.INPUT, ErrorCode.INPUT_FORMAT, message, outcome)
    failure = verdict.judge(outcome, reads_input=True, only_reads=True)
    if failure is not None or outcome.invocation.name == PICTURE:
        return failure
    try:
        files(recipe, (outcome,))
    except burning.TooMuch as error:
        return verdict.failure(FailureClass.INPUT, ErrorCode.INPUT_LIMITS, str(error), outcome)
    except burning.Unburnable as error:
        return verdict.failure(FailureClass.INPUT, ErrorCode.INPUT_FORMAT, str(error), outcome)
    return None
