"""The plugin. It is pure: it says which processes to run and judges what they gave; the engine runs them."""

from __future__ import annotations

import io
import os
import shutil
import zipfile
from collections.abc import Sequence
from fractions import Fraction

from protocol.capabilities import PluginDescription
from protocol.errors import ErrorCode, FailureClass, ReelyardError
from protocol.extras import PictureFormat
from protocol.plugins import Conclusion, Invocation, Limits, MadeFile, Outcome, Work
from protocol.recipes import FramesRecipe
from protocol.results import AttemptResult, Failure, FileRole, OutputFacts, StepReport, ToolUse
from protocol.states import StepState, TaskKind

MOST = 200
FORMATS = "mov,matroska,webm,avi,flv,asf,mpegts,mpeg,mxf,ogg"
KINDS = {
    PictureFormat.JPEG: ("jpg", ("-c:v", "mjpeg", "-q:v", "3", "-pix_fmt", "yuvj420p"), (b"\xff\xd8", b"\xff\xd9")),
    PictureFormat.PNG: ("png", ("-c:v", "png", "-pix_fmt", "rgb24"), (b"\x89PNG", b"IEND\xaeB`\x82")),
}
"""By format: the ending of a name, FFmpeg's arguments, and how a whole picture begins and ends."""

LIMITS = Limits(wall_s=300.0, cpu_s=300, memory_bytes=2 << 30)


class StillsPlugin:
    """One process for each picture; each answers with the picture on its stdout."""

    name = "stills"
    operations: tuple[str, ...] = (TaskKind.FRAMES,)

    def probes(self, directory: str) -> Sequence[Invocation]:
        """Proves at start, and every ten minutes, that the tool does here what it will be asked to do."""
        picture = ("-f", "lavfi", "-i", "testsrc2=size=128x96", *_picture(PictureFormat.JPEG))
        return (Invocation(name="trial", argv=(_ffmpeg(), *_quiet(), *picture), limits=LIMITS),)

    def describe(self, outcomes: Sequence[Outcome]) -> PluginDescription:
        can = all(_is_picture(outcome, PictureFormat.JPEG) for outcome in outcomes)
        return PluginDescription(
            name=self.name,
            version="1.0",
            operations=self.operations if can else (),
            capabilities=("operation:frames",) if can else (),
            problem=None if can else "FFmpeg cannot make a picture here",
        )

    def plan(self, work: Work) -> Sequence[Invocation]:
        """Too many pictures: nothing is run, and `checks` says why."""
        recipe, moments = _recipe(work), _moments(_recipe(work))
        return () if len(moments) > MOST else tuple(_shot(work, recipe, n, at) for n, at in enumerate(moments, start=1))

    def read(self, work: Work, invocation: Invocation, line: str) -> tuple[StepReport, ...]:
        """No invocation `streams`, so no line comes."""
        return ()

    def judge(self, work: Work, outcome: Outcome) -> Failure | None:
        """The engine itself tells what met a limit or was killed; what is left is a film that does not decode there."""
        if _is_picture(outcome, _recipe(work).frames.format):
            return None
        return _failure(FailureClass.INPUT, ErrorCode.INPUT_CORRUPT, "There is no picture at one of the moments asked for.")

    def checks(self, work: Work, files: Sequence[MadeFile]) -> Sequence[Invocation] | Failure:
        """Every picture was judged by itself already: no process is needed to prove the ZIP."""
        if (count := len(_moments(_recipe(work)))) > MOST:
            message = f"This would be {count} pictures; the plugin stills makes at most {MOST}. Ask for fewer."
            return _failure(FailureClass.INPUT, ErrorCode.INPUT_LIMITS, message)
        return ()

    def conclude(self, work: Work, outcomes: Sequence[Outcome], files: Sequence[MadeFile]) -> Conclusion | Failure:
        recipe = _recipe(work)
        seconds = round(sum(outcome.wall_seconds for outcome in outcomes), 3)
        steps = tuple(
            StepReport(name=one, state=StepState.COMPLETED, progress=1.0, duration_seconds=seconds) for one in work.steps
        )
        tools = tuple(
            ToolUse(tool="ffmpeg", version="", argv=("ffmpeg", *one.invocation.argv[1:]), wall_seconds=one.wall_seconds)
            for one in outcomes
        )
        facts = OutputFacts(role=FileRole.FRAMES, codec=recipe.frames.format.value, frame_count=len(outcomes))
        made = _zip([outcome.stdout for outcome in outcomes], KINDS[recipe.frames.format][0])
        return Conclusion(facts={recipe.path: facts}, result=AttemptResult(steps=steps, tools=tools), extra={recipe.path: made})


def _ffmpeg() -> str:
    path = shutil.which(os.environ.get("REELYARD_FFMPEG", "ffmpeg")) or _of_a_wheel()
    if path is None:
        raise ReelyardError(ErrorCode.TOOL_MISSING, "No FFmpeg. Install the distribution's package, or set REELYARD_FFMPEG.")
    return path


def _of_a_wheel() -> str | None:
    """Where the distribution has none, `make setup` and the extra `ffmpeg` bring one along."""
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        return str(get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        return None


def _quiet() -> tuple[str, ...]:
    return ("-hide_banner", "-nostdin", "-loglevel", "error")


def _picture(kind: PictureFormat) -> tuple[str, ...]:
    return ("-frames:v", "1", *KINDS[kind][1], "-map_metadata", "-1", "-f", "image2pipe", "pipe:1")


def _shot(work: Work, recipe: FramesRecipe, number: int, at: Fraction) -> Invocation:
    """The input is a stranger's: it is opened by us (`{fd0}`), and FFmpeg may open nothing else and only plain formats."""
    if work.input_path is None:
        raise ReelyardError(ErrorCode.PLUGIN_FAILED, "The plugin stills was given a task without an input.")
    source = ("-protocol_whitelist", "fd", "-format_whitelist", FORMATS, "-ss", f"{float(at):.6f}", "-fd", "{fd0}", "-i", "fd:")
    height = recipe.frames.max_height or 0
    scale = ("-vf", f"scale=-2:'min({height},ih)'") if height else ()
    argv = (_ffmpeg(), *_quiet(), *source, "-map", "0:V:0", *scale, *_picture(recipe.frames.format))
    return Invocation(name=f"still:{number}", argv=argv, reads=(work.input_path,), limits=LIMITS)


def _moments(recipe: FramesRecipe) -> list[Fraction]:
    """In seconds. A moment is reached a quarter of a frame early, so that no rounding skips the frame that stands on it."""
    video, frames = recipe.source.video, recipe.frames
    if video is None:
        return []
    rate = Fraction(video.frame_rate)
    apart = Fraction(frames.every_nth) / rate if frames.every_nth else 1 / Fraction(frames.fps or 1).limit_denominator(1000)
    end = Fraction(video.duration or recipe.source.duration) - 1 / rate
    count = int(end / max(apart, 1 / rate)) + 1
    return [max(Fraction(0), n * max(apart, 1 / rate) - 1 / (4 * rate)) for n in range(count)]


def _is_picture(outcome: Outcome, kind: PictureFormat) -> bool:
    begin, end = KINDS[kind][2]
    return outcome.exit_code == 0 and outcome.stdout.startswith(begin) and outcome.stdout.endswith(end)


def _done(step: str, seconds: float) -> StepReport:
    return StepReport(name=step, state=StepState.COMPLETED, progress=1.0, duration_seconds=seconds)


def _zip(pictures: Sequence[bytes], ending: str) -> bytes:
    """Stored, named by number, with no time in it: the same pictures give the same bytes."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        for n, picture in enumerate(pictures, start=1):
            archive.writestr(zipfile.ZipInfo(f"frame_{n:06d}.{ending}"), picture)
    return made.getvalue()


def _failure(failure_class: FailureClass, code: ErrorCode, message: str) -> Failure:
    return Failure(failure_class=failure_class, code=code, message=message, step=None)


def _recipe(work: Work) -> FramesRecipe:
    if not isinstance(work.recipe, FramesRecipe):
        raise ReelyardError(ErrorCode.PLUGIN_FAILED, f"The plugin stills does no task of kind {work.recipe.kind}.")
    return work.recipe
