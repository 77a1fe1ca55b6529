"""Probe encodes: the CRFs that reach their targets, round by round, and the weighing of a ladder.

In each round every rendition whose search goes on is encoded with its next CRF, all of a window by one process, with the
arguments of the real encode; then all files of it are scored by another. What was found is replayed from the outcomes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from plugins.ffmpeg.measuring import rungs, search, windows
from plugins.ffmpeg.measuring.scoring import Look, score
from plugins.ffmpeg.measuring.search import SCALES, Tried
from plugins.ffmpeg.measuring.subject import Sample, Subject, encodes, sample
from plugins.media import scores
from protocol.encoding import HARDWARE_ENCODERS, SOFTWARE_ENCODERS, Rate
from protocol.extras import Metric
from protocol.plugins import Invocation, Outcome
from protocol.rates import rate_of
from protocol.recipes import PlannedRendition
from protocol.results import DroppedRung, FoundRate, QualityProbe

ENCODE, SCORE = "probe-encode", "probe-score"
METRICS = (Metric.VMAF,)
WEIGHING = "ladder"
"""What stands for the number of the round where the ladder is weighed."""

Outcomes = Mapping[str, Outcome]
Sizes = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Round:
    """What one round encodes: each rendition with its rate, and the size at which it is looked at (None: its own)."""

    name: str
    renditions: tuple[PlannedRendition, ...]
    shown: Mapping[str, tuple[int, int]]


def following(subject: Subject, done: Outcomes) -> tuple[Invocation, ...]:
    """The next round; empty when all is found."""
    if not (probed(subject) or subject.recipe.per_title):
        return ()
    for number in range(search.MOST_PROBES):
        crfs = _open(subject, done, number)
        if not crfs:
            break
        if not _is_scored(subject, done, str(number)):
            tries = tuple(_probe(planned, crfs[name]) for planned in probed(subject) if (name := _name(planned)) in crfs)
            return _invocations(subject, _Round(str(number), tries, {}))
    weighed = _weighed(subject, done)
    if weighed is None or _is_scored(subject, done, WEIGHING):
        return ()
    return _invocations(subject, weighed)


def spots(subject: Subject) -> tuple[Sample, ...]:
    return tuple(sample(subject, window) for window in windows.spread(subject.duration, subject.rate))


def found_rates(subject: Subject, done: Outcomes, sizes: Sizes) -> tuple[FoundRate, ...]:
    """One for each rendition with a target; `sizes` are the bytes of the files that the probes made."""
    return tuple(_found(subject, done, planned, sizes) for planned in probed(subject))


def dropped(subject: Subject, done: Outcomes) -> tuple[DroppedRung, ...]:
    """The rungs that this film does not need."""
    weighed = _weighed(subject, done)
    if weighed is None or subject.recipe.per_title is None:
        return ()
    ladder = [
        rungs.Rung(_name(one), one.rendition.codec.value, one.height, _vmaf(subject, done, WEIGHING, _name(one)))
        for one in weighed.renditions
    ]
    return rungs.drop(ladder, subject.recipe.per_title.min_gain_vmaf)


def probed(subject: Subject) -> tuple[PlannedRendition, ...]:
    """Those whose CRF can be looked for here: an encoder of a GPU has a scale of its own."""
    return tuple(one for one in subject.recipe.probes if one.encoder == SOFTWARE_ENCODERS[one.rendition.codec])


def warnings(subject: Subject) -> tuple[str, ...]:
    """What the job's owner should know of targets that are aimed at blindly."""
    left = (one for one in subject.recipe.probes if one not in probed(subject))
    return tuple(
        f"The CRF of {_name(one)} was not looked for: {one.encoder} makes it, whose scale probes of another encoder do not tell."
        for one in left
    )


def _name(planned: PlannedRendition) -> str:
    return planned.rendition.name


def _open(subject: Subject, done: Outcomes, number: int) -> dict[str, float]:
    """The CRF that each rendition tries in that round, of those whose search goes on."""
    found = {_name(one): _next(subject, done, one, number) for one in probed(subject)}
    return {name: crf for name, crf in found.items() if crf is not None}


def _next(subject: Subject, done: Outcomes, planned: PlannedRendition, number: int) -> float | None:
    target = planned.rendition.target
    tried = _tried(subject, done, planned, number)
    if target is None or len(tried) < number:
        return None
    return search.next_crf(target.vmaf, tried, SCALES[planned.encoder], rate_of(planned.rendition).crf or 0.0)


def _tried(subject: Subject, done: Outcomes, planned: PlannedRendition, rounds: int) -> list[Tried]:
    """What the first rounds found, as far as this rendition took part in them."""
    target, scale, name = planned.rendition.target, SCALES[planned.encoder], _name(planned)
    tried: list[Tried] = []
    for number in range(rounds):
        first = rate_of(planned.rendition).crf or 0.0
        crf = None if target is None else search.next_crf(target.vmaf, tried, scale, first)
        if crf is None or not _is_scored(subject, done, str(number)):
            break
        tried.append(Tried(crf, _vmaf(subject, done, str(number), name)))
    return tried


def _found(subject: Subject, done: Outcomes, planned: PlannedRendition, sizes: Sizes) -> FoundRate:
    tried = _tried(subject, done, planned, search.MOST_PROBES)
    target, name = planned.rendition.target, _name(planned)
    reached = search.answer(target.vmaf if target else 0.0, tried, SCALES[planned.encoder])
    seconds = float(sum(spot.seconds for spot in spots(subject)))
    probes = tuple(
        QualityProbe(crf=one.crf, vmaf=round(one.vmaf, 2), bitrate=round(_bytes(subject, sizes, str(n), name) * 8 / seconds))
        for n, one in enumerate(tried)
    )
    return FoundRate(rendition=name, crf=reached.crf, vmaf=round(reached.vmaf, 2), probes=probes)


def _bytes(subject: Subject, sizes: Sizes, round_name: str, name: str) -> int:
    return sum(sizes.get(_path(round_name, n, name), 0) for n in range(len(spots(subject))))


def _weighed(subject: Subject, done: Outcomes) -> _Round | None:
    """Every rung with the rate it will have, looked at in the size of the largest of its codec."""
    recipe = subject.recipe
    ladder = [planned for planned in recipe.ladder if planned.encoder not in HARDWARE_ENCODERS]
    if recipe.per_title is None or len(ladder) < 2:
        return None
    aimed = {_name(one) for one in probed(subject)}
    rated = tuple(_probe(one, _reached(subject, done, one)) if _name(one) in aimed else one for one in ladder)
    largest = {one.rendition.codec: (one.width, one.height) for one in sorted(ladder, key=lambda one: one.height)}
    return _Round(WEIGHING, rated, {_name(one): largest[one.rendition.codec] for one in ladder})


def _reached(subject: Subject, done: Outcomes, planned: PlannedRendition) -> float:
    target = planned.rendition.target
    tried = _tried(subject, done, planned, search.MOST_PROBES)
    return search.answer(target.vmaf if target else 0.0, tried, SCALES[planned.encoder]).crf


def _probe(planned: PlannedRendition, crf: float) -> PlannedRendition:
    wanted = planned.rendition
    rate = Rate(crf=crf, max_bitrate=wanted.max_bitrate, buffer_seconds=wanted.buffer_seconds)
    return planned.model_copy(update={"rate": rate})


def _invocations(subject: Subject, part: _Round) -> tuple[Invocation, ...]:
    made: list[Invocation] = []
    for n, spot in enumerate(spots(subject)):
        renditions = tuple(_at(planned, _path(part.name, n, _name(planned))) for planned in part.renditions)
        recipe = spot.of(*renditions)
        made += encodes(subject, spot, recipe, f"{ENCODE}:{part.name}:{n}")
        looks = [Look(planned, shown=part.shown.get(_name(planned))) for planned in renditions]
        argv = score(subject.ffmpeg, recipe, looks, METRICS, subject.threads)
        made.append(subject.invocation(_score_name(part.name, n), argv, (spot.path,)))
    return tuple(made)


def _at(planned: PlannedRendition, path: str) -> PlannedRendition:
    return planned.model_copy(update={"path": path, "playlist": None, "segments": None})


def _path(round_name: str, window: int, name: str) -> str:
    return f"probes/{round_name}/{window}/{name}.mp4"


def _score_name(round_name: str, window: int) -> str:
    return f"{SCORE}:{round_name}:{window}"


def _is_scored(subject: Subject, done: Outcomes, round_name: str) -> bool:
    return all(_score_name(round_name, n) in done for n in range(len(spots(subject))))


def _vmaf(subject: Subject, done: Outcomes, round_name: str, name: str) -> float:
    """The mean over the windows, which are of one length. `judge` has seen to it that each was scored."""
    told: Sequence[scores.Score | None] = [
        scores.read(done[_score_name(round_name, n)].stderr_tail, name, METRICS) for n in range(len(spots(subject)))
    ]
    return fmean(one.vmaf for one in told if one is not None and one.vmaf is not None)
