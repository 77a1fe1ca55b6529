"""What is found out of a film before it is encoded, and what follows from it for the rest of its job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from dispatch.core.copying import replace
from dispatch.core.ladder import plan_renditions
from dispatch.core.planning import task_kinds
from dispatch.core.plans import Film, LeftOut, Planned, steps_of
from dispatch.core.sounding import tracks as planned_tracks
from dispatch.core.targets import is_probed, is_software, needs_of
from protocol.extras import Metric
from protocol.media import MediaFacts
from protocol.profiles import Compare
from protocol.recipes import MeasureRecipe, PicturePlan, PlannedRendition
from protocol.results import Failure
from protocol.states import TaskKind

CONTENT, COMPARISON, COMPARED = "analysis/content.json", "compare/report.json", "compare"
PIXELS_MEASURED_PER_SECOND = 8e6
"""Encoding at `medium`, decoding and scoring of the same pixels on two threads of a common server core; only an estimate."""

SECONDS_HEARD_PER_SECOND, PIXELS_SEEN_PER_SECOND = 40.0, 250e6
"""The loudness of a track, and the decode of a whole film at reduced size; only estimates for queueing."""

BESIDES = 2
"""A job of no more tasks than these, `analyze` and `measure`, makes nothing else."""

SAMPLED_S, ROUNDS = 10, 4
"""So much of a film is encoded in each of so many rounds at most, where a CRF is looked for."""


@dataclass(frozen=True, slots=True)
class _Aims:
    """What probe encodes are made for."""

    probes: tuple[PlannedRendition, ...] = ()
    ladder: tuple[PlannedRendition, ...] = ()
    compare: tuple[PlannedRendition, ...] = ()

    @property
    def encoded(self) -> tuple[PlannedRendition, ...]:
        return (*self.probes, *self.ladder, *self.compare)


Plan = Planned[MeasureRecipe] | LeftOut | Failure


def plan_measure(film: Film, source: MediaFacts, ladder: Sequence[PlannedRendition]) -> Plan:
    """`source` are the facts of the input itself, `ladder` the renditions that the encode is planned to make.

    A job that does nothing but compare settings is refused where the film is too small for all of them.
    """
    profile, facts = film.profile, film.facts
    loudness = profile.sound.loudness if profile.sound else None
    heard = planned_tracks(film) if loudness else ()
    settings = _settings(film, profile.compare)
    does_more = profile.content is not None or len(task_kinds(profile)) > BESIDES
    if isinstance(settings, Failure) and not does_more:
        return settings
    aims = _aims(film, ladder, () if isinstance(settings, Failure) else settings)
    finds_crop = profile.picture is not None and profile.picture.crop_black and facts.video is not None
    if not (heard or finds_crop or profile.content or aims.encoded):
        return LeftOut(_nothing(film))
    recipe = MeasureRecipe(
        source=facts,
        parts=film.parts,
        cut=film.cut,
        picture=_bare(film.picture),
        whole=(source.video.width, source.video.height) if source.video else None,
        tracks=tuple(track.stream for track in heard),
        channels=tuple(track.channels for track in heard),
        loudness=loudness,
        finds_crop=finds_crop,
        content=profile.content,
        content_path=CONTENT if profile.content else None,
        probes=aims.probes,
        per_title=profile.per_title if aims.ladder else None,
        ladder=aims.ladder,
        compare=aims.compare,
        sample_seconds=profile.compare.sample_seconds if profile.compare else SAMPLED_S,
        comparison_path=COMPARISON if aims.compare else None,
    )
    return Planned(recipe, _needs(aims), _cost(recipe), steps_of(TaskKind.MEASURE, profile, {}))


def _aims(film: Film, ladder: Sequence[PlannedRendition], settings: tuple[PlannedRendition, ...]) -> _Aims:
    aimed = tuple(planned for planned in ladder if planned.rendition.target is not None)
    probes = aimed if any(map(is_probed, aimed)) else ()
    weighed = tuple(one for one in ladder if is_software(one)) if film.profile.per_title else ()
    return _Aims(probes, weighed if len(weighed) > 1 else (), settings)


def _settings(film: Film, compare: Compare | None) -> tuple[PlannedRendition, ...] | Failure:
    """Those that the film is large enough for."""
    if compare is None:
        return ()
    profile = film.profile.model_copy(update={"renditions": compare.renditions, "hls": None})
    planned = plan_renditions(replace(film, profile=profile, measured=None))
    if isinstance(planned, Failure):
        return planned
    return tuple(one.model_copy(update={"path": f"{COMPARED}/{one.rendition.name}.mp4"}) for one in planned)


def _bare(picture: PicturePlan) -> PicturePlan:
    """Marks and words over the picture are left out: they are in neither of what is held against each other."""
    return picture.model_copy(update={"overlay": None, "burn_in": None})


def _nothing(film: Film) -> str:
    if film.facts.video is None:
        return "the source has no picture"
    if film.profile.compare is not None:
        return "the source is smaller than every setting that is compared"
    if any(one.target for one in film.profile.renditions):
        return "a GPU's encoder makes the renditions; their targets are aimed at by a fixed quality"
    if film.profile.per_title is not None:
        return "the ladder has one rung only"
    return "there is nothing to measure"


def _needs(aims: _Aims) -> tuple[str, ...]:
    metrics = tuple(Metric) if aims.compare else (Metric.VMAF,)
    if not aims.encoded:
        return ()
    encoders = {f"encoder:{one.encoder}" for one in aims.encoded if is_software(one)}
    return tuple(sorted({*encoders, *needs_of(metrics)}))


def _cost(recipe: MeasureRecipe) -> float:
    seconds = float(Fraction(recipe.source.duration))
    rate = float(Fraction(recipe.source.video.frame_rate)) if recipe.source.video else 0.0
    once = sum(one.width * one.height for one in (*recipe.ladder, *recipe.probes * ROUNDS)) * min(seconds, SAMPLED_S)
    sampled = sum(one.width * one.height for one in recipe.compare) * min(seconds, recipe.sample_seconds)
    pixels = recipe.whole[0] * recipe.whole[1] if recipe.whole and recipe.content else 0
    heard = len(recipe.tracks) * seconds / SECONDS_HEARD_PER_SECOND
    return 1.0 + heard + (once + sampled) * rate / PIXELS_MEASURED_PER_SECOND + pixels * rate * seconds / PIXELS_SEEN_PER_SECOND
