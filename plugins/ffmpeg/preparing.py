"""What an encode needs before it can begin: subtitles as a script of our own, and a watermark that is a picture."""

from __future__ import annotations

from collections.abc import Sequence

from plugins.ffmpeg import burning
from plugins.ffmpeg.overlays import SUBTITLES
from plugins.ffmpeg.sources import MARK, MOST_MARK_PIXELS
from plugins.media import verdict
from plugins.media.calling import quiet
from protocol.errors import ErrorCode, FailureClass
from protocol.plugins import Invocation, Limits, Outcome, Work
from protocol.recipes import TranscodeRecipe
from protocol.results import Failure

TEXTS, PICTURE = "subtitles_to_burn", "watermark"
NAMES = frozenset({TEXTS, PICTURE})
PICTURE_LIMITS = Limits(wall_s=60.0, cpu_s=60, memory_bytes=2 << 30, file_bytes=1 << 20)

_UNREADABLE = {
    TEXTS: "The subtitles to be drawn into the picture cannot be read; give SRT, WebVTT or ASS in UTF-8.",
    PICTURE: f"The watermark is no JPEG, PNG or WebP picture of at most {MOST_MARK_PIXELS >> 20} million pixels.",
}


def invocations(ffmpeg: str, work: Work, recipe: TranscodeRecipe, own: str) -> tuple[Invocation, ...]:
    """Run before everything else; `own` is the path of the job's input. Raises KeyError for an attachment that is not there."""
    made: list[Invocation] = []
    burn_in, overlay = recipe.picture.burn_in, recipe.picture.overlay
    if burn_in is not None:
        path = own if burn_in.attachment is None else work.inputs[burn_in.attachment]
        argv = burning.convert(ffmpeg, burn_in)
        capture = 2 * burning.MOST_BYTES
        made.append(Invocation(name=TEXTS, argv=argv, reads=(path,), limits=burning.LIMITS, capture_bytes=capture))
    if overlay is not None:
        argv = (ffmpeg, *quiet(), *MARK, "-fd", "{fd0}", "-i", "fd:", "-map", "0:v:0", "-frames:v", "1", "-f", "null", "-")
        made.append(Invocation(name=PICTURE, argv=argv, reads=(work.inputs[overlay.attachment],), limits=PICTURE_LIMITS))
    return tuple(made)


def files(recipe: TranscodeRecipe, outcomes: Sequence[Outcome]) -> tuple[tuple[str, bytes], ...]:
    """What the encode must find in its directory, by path."""
    video = recipe.source.video
    texts = [outcome for outcome in outcomes if outcome.invocation.name == TEXTS]
    if recipe.picture.burn_in is None or video is None or not texts:
        return ()
    return ((SUBTITLES, burning.script(texts[-1].stdout, (video.width, video.height))),)


def judge(outcome: Outcome, recipe: TranscodeRecipe) -> Failure | None:
    """Of one of these invocations: what cannot be read is the client's."""
    if outcome.exit_code > 0 and outcome.exit_code != verdict.STOPPED_BY_SIGNAL:
        message = _UNREADABLE[outcome.invocation.name]
        return verdict.failure(FailureClass.INPUT, ErrorCode.INPUT_FORMAT, message, outcome)
    failure = verdict.judge(outcome, reads_input=True, only_reads=True)
    if failure is not None or outcome.invocation.name != TEXTS:
        return failure
    try:
        files(recipe, (outcome,))
    except burning.TooMuch as error:
        return verdict.failure(FailureClass.INPUT, ErrorCode.INPUT_LIMITS, str(error), outcome)
    except burning.Unburnable as error:
        return verdict.failure(FailureClass.INPUT, ErrorCode.INPUT_FORMAT, str(error), outcome)
    return None
