"""The processes of an encode: one, or before it one more that makes the first passes of all renditions that take two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

from plugins.ffmpeg import besides, command, fallback, preparing, sources
from plugins.ffmpeg.encoders import environment
from plugins.ffmpeg.goal import goal_of
from plugins.ffmpeg.passes import first_of
from plugins.media import progress, report, stills
from plugins.media.progress import WHOLE, Goal, Part, Progress
from plugins.media.soundtracks import sound_files
from protocol.plugins import Invocation, Limits, Outcome, Work
from protocol.recipes import Recipe, TranscodeRecipe
from protocol.results import StepReport

FIRST_PASS, ENCODE, ENCODE_AGAIN = "first_pass", "encode", "encode_again"
PASSES = frozenset({FIRST_PASS, ENCODE, ENCODE_AGAIN})
LAST = frozenset({ENCODE, ENCODE_AGAIN})
PARTS = {FIRST_PASS: Part(0.0, 0.35), ENCODE: Part(0.35, 0.65), ENCODE_AGAIN: WHOLE}
"""Of two passes the first is the faster one."""

LEAST_WALL_S, WALL_PER_SECOND = 4 * 3600.0, 20.0
"""An encode may run 4 h, or 20 times the length of its source where that is longer."""


def invocations(ffmpeg: str, work: Work, recipe: TranscodeRecipe, own: str) -> tuple[Invocation, ...]:
    """`own` is the path of the job's input. With subtitles to draw, the encode itself follows on what is read of them."""
    before = (*besides.invocations(ffmpeg, work, recipe), *preparing.invocations(ffmpeg, work, recipe, own))
    return before if recipe.picture.burn_in else (*before, *_encodes(ffmpeg, work, recipe, own, ()))


def follow(ffmpeg: str, work: Work, recipe: TranscodeRecipe, own: str, outcomes: Sequence[Outcome]) -> tuple[Invocation, ...]:
    once_more = fallback.again(recipe, outcomes, ENCODE, ENCODE_AGAIN)
    if once_more is not None:
        made = _encodes(ffmpeg, work, once_more, own, ())
        return tuple(replace(invocation, name=ENCODE_AGAIN) for invocation in made)
    if recipe.picture.burn_in is None or any(outcome.invocation.name in PASSES for outcome in outcomes):
        return ()
    return _encodes(ffmpeg, work, recipe, own, preparing.files(recipe, outcomes))


def _encodes(
    ffmpeg: str, work: Work, recipe: TranscodeRecipe, own: str, files: tuple[tuple[str, bytes], ...]
) -> tuple[Invocation, ...]:
    """None for a recipe of subtitles, or of the client's own picture, alone."""
    if not (recipe.renditions or sound_files(recipe) or recipe.speech or stills.expected(recipe)):
        return ()
    made = {
        FIRST_PASS: command.first_passes(ffmpeg, recipe, work.threads),
        ENCODE: command.transcode(ffmpeg, recipe, work.threads, work.device),
    }
    return tuple(
        Invocation(
            name=name,
            argv=argv,
            reads=sources.reads(recipe, own, work.inputs),
            makes=command.directories(recipe),
            streams=True,
            limits=_limits(recipe, work.threads),
            env=environment(planned.encoder for planned in recipe.renditions),
            secrets=files,
        )
        for name, argv in made.items()
        if argv is not None
    )


def gave_up(recipe: Recipe, outcome: Outcome) -> bool:
    """Whether that was an encode whose GPU could not decode the film; another follows."""
    return isinstance(recipe, TranscodeRecipe) and outcome.invocation.name == ENCODE and fallback.gave_up(recipe, outcome)


def told(work: Work, recipe: TranscodeRecipe, invocation: Invocation, now: Progress) -> tuple[StepReport, ...]:
    """What a line just read tells of the steps, of both passes together."""
    steps = tuple(step for step in work.steps if step in report.served(recipe))
    part = WHOLE if first_of(recipe) is None else PARTS[invocation.name]
    return progress.reports(now, steps, goal(recipe, invocation), part)


def goal(recipe: TranscodeRecipe, invocation: Invocation) -> Goal:
    """How much that process has to do."""
    first = first_of(recipe) if invocation.name == FIRST_PASS else None
    return goal_of(first or recipe)


def whole(by_name: Mapping[str, Outcome]) -> Outcome:
    """The last encode with the time of all that was run for it; where nothing is encoded, what was run first."""
    ran = [by_name[name] for name in (FIRST_PASS, ENCODE, ENCODE_AGAIN) if name in by_name]
    last = ran[-1] if ran else next(iter(by_name.values()))
    return replace(last, wall_seconds=sum(outcome.wall_seconds for outcome in ran)) if ran else last


def begun(running: Mapping[str, Progress], name: str) -> Progress:
    """How far a process is before its first line: what is encoded once more shows no less than the encode that gave up."""
    before = running.get(ENCODE, Progress()) if name == ENCODE_AGAIN else Progress()
    return running.get(name, replace(Progress(), fraction=before.fraction))


def _limits(recipe: TranscodeRecipe, threads: int) -> Limits:
    seconds = float(Fraction(recipe.source.duration))
    wall = max(LEAST_WALL_S, WALL_PER_SECOND * seconds)
    return Limits(wall_s=wall, cpu_s=int(wall * max(threads, 1)))
