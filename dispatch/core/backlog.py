"""How much work waits, how long the engines there need for it, and how many engines it wants. Pure: rows in, figures out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil

import orjson

from dispatch.core.matching import fits
from dispatch.core.paces import Speeds
from dispatch.core.rooms import kind_of
from protocol.capabilities import SlotKind
from protocol.recipes import Pace
from protocol.scaling import BacklogClass, Scaling
from protocol.states import HELD_TASK_STATES, TaskKind, TaskState

AROUND_S = 1.0
"""Of each encode: the input is opened, the outputs are looked at; as in `estimating`."""

HALF = 0.5
"""Of a running task is left, on the average over tasks caught at any moment of their run."""

ROUNDS = 16
"""In which engines are divided among classes: two of equal work, of which one alone has an engine for itself, are then
within 4 % of being done at the same moment."""


@dataclass(frozen=True, slots=True)
class TaskSum:
    """Tasks of jobs that have not ended, with equal kind, state and requirements. `cost_s` is of all of them together.

    Those that are held are summed for each engine.
    """

    kind: TaskKind
    needs: tuple[str, ...]
    tags: tuple[str, ...]
    state: TaskState
    count: int
    cost_s: float
    engine_id: str | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """One encode of a class that waits: estimated as `cost_s` and, by its recipe, so many frames at a pace."""

    needs: tuple[str, ...]
    tags: tuple[str, ...]
    cost_s: float
    pace: Pace
    frames: float


@dataclass(frozen=True, slots=True)
class Place:
    """An engine that takes work: what it can do, its slots of each kind, and how fast it encoded so far."""

    provided: frozenset[str]
    tags: frozenset[str]
    slots: Mapping[SlotKind, int]
    speeds: Speeds = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Goal:
    """Work is to be done within `target_s`. `slots_per_engine` counts where no engine that fits is there to be looked at."""

    target_s: float
    min_engines: int
    max_engines: int
    slots_per_engine: int

    def within(self, engines: float) -> int:
        return max(self.min_engines, min(ceil(engines - 1e-9), self.max_engines))


def sample_of(needs: tuple[str, ...], tags: tuple[str, ...], cost_s: float, recipe_json: str) -> Sample | None:
    """Read without the whole recipe, as in `paces`; None where it encodes no picture."""
    recipe = orjson.loads(recipe_json)
    tallest = max(recipe.get("renditions", ()), key=lambda planned: int(planned["height"]), default=None)
    source = recipe.get("source") or {}
    video = source.get("video")
    if tallest is None or video is None or cost_s <= 0:
        return None
    frames = float(Fraction(source["duration"]) * Fraction(video["frame_rate"]))
    return Sample(needs, tags, cost_s, Pace(tallest["encoder"], tallest["height"]), frames)


def name_of(needs: Sequence[str], tags: Sequence[str]) -> str:
    """Such as `transcode aac libx264` or `transcode aac libx264 filter:zscale @site:b`: nothing of the needs is left out."""
    operations = [need.removeprefix("operation:") for need in needs if need.startswith("operation:")]
    encoders = [need.removeprefix("encoder:") for need in needs if need.startswith("encoder:")]
    others = [need for need in needs if not need.startswith(("operation:", "encoder:"))]
    return " ".join([*operations, *encoders, *others, *(f"@{tag}" for tag in tags)])


Key = tuple[tuple[str, ...], tuple[str, ...], SlotKind]


@dataclass(slots=True)
class Class:
    """Work in seconds of one slot, as estimated without any engine's speed."""

    key: Key
    queued: int = 0
    waiting: int = 0
    running: int = 0
    work_s: float = 0.0
    holders: set[str] = field(default_factory=set)

    @property
    def kind(self) -> SlotKind:
        return self.key[2]


@dataclass(slots=True)
class Group:
    """Engines that can do the same. `speeds` are means over their slots."""

    provided: frozenset[str]
    tags: frozenset[str]
    engines: int
    slots: dict[SlotKind, int]
    speeds: dict[Pace, float]


def scaling(sums: Iterable[TaskSum], samples: Iterable[Sample], places: Iterable[Place], goal: Goal) -> Scaling:
    """The whole of it. The same rows and the same engines give the same answer, on every server."""
    classes, groups = classes_of(sums), groups_of(places)
    factors = _factors(samples, groups)
    divided = {kind: _divide([one for one in classes if one.kind is kind], groups, factors) for kind in SlotKind}
    told = [_told(one, groups, factors, divided[one.kind].get(one.key), goal) for one in classes]
    wanted = dict.fromkeys(SlotKind, 0.0)
    for one, (_, engines) in zip(classes, told, strict=True):
        wanted[one.kind] += engines
    holders: set[str] = set().union(*(one.holders for one in classes))
    rows = sorted((row for row, _ in told), key=lambda row: (-row.work_seconds, row.name))
    spans = [row.backlog_seconds for row in rows]
    known = [span for span in spans if span is not None]
    return Scaling(
        queue_depth=sum(one.queued for one in classes),
        waiting=sum(one.waiting for one in classes),
        running=sum(one.running for one in classes),
        backlog_seconds=max(known, default=0.0) if len(known) == len(spans) else None,
        engines=sum(group.engines for group in groups),
        desired_engines=goal.within(max(len(holders), *wanted.values())),
        target_seconds=goal.target_s,
        min_engines=goal.min_engines,
        max_engines=goal.max_engines,
        classes=tuple(rows),
    )


def classes_of(sums: Iterable[TaskSum]) -> list[Class]:
    """Tasks that wait for another were estimated before anybody had looked at the film: they count as the mean of their kind."""
    rows = list(sums)
    known: dict[TaskKind, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for row in rows:
        if row.state is not TaskState.WAITING:
            known[row.kind][0] += row.count
            known[row.kind][1] += row.cost_s
    classes: dict[Key, Class] = {}
    for row in rows:
        key = (row.needs, row.tags, kind_of(row.kind, row.needs))
        one = classes.setdefault(key, Class(key))
        if row.state is TaskState.WAITING:
            count, cost_s = known.get(row.kind, (0.0, 0.0))
            one.waiting += row.count
            one.work_s += max(row.cost_s, row.count * cost_s / count if count else 0.0)
        elif row.state in HELD_TASK_STATES:
            one.running += row.count
            one.work_s += HALF * row.cost_s
            one.holders.add(row.engine_id or "")
        else:
            one.queued += row.count
            one.work_s += row.cost_s
    return list(classes.values())


def groups_of(places: Iterable[Place]) -> list[Group]:
    """Ten thousand engines are a few groups."""
    found: dict[tuple[frozenset[str], frozenset[str]], list[Place]] = defaultdict(list)
    for place in places:
        found[(place.provided, place.tags)].append(place)
    return [
        Group(
            provided,
            tags,
            len(members),
            {kind: sum(member.slots.get(kind, 0) for member in members) for kind in SlotKind},
            _mean_speeds(members),
        )
        for (provided, tags), members in found.items()
    ]


def _mean_speeds(members: Iterable[Place]) -> dict[Pace, float]:
    sums: dict[Pace, tuple[float, int]] = {}
    for member in members:
        for pace, fps in member.speeds.items():
            total, count = sums.get(pace, (0.0, 0))
            sums[pace] = (total + fps, count + 1)
    return {pace: total / count for pace, (total, count) in sums.items()}


Factors = Mapping[tuple[tuple[str, ...], tuple[str, ...]], Sequence[float]]
"""For each class that was sampled: by how much its work is longer or shorter than estimated, on each group of engines."""


def _factors(samples: Iterable[Sample], groups: Sequence[Group]) -> Factors:
    by_class: dict[tuple[tuple[str, ...], tuple[str, ...]], list[Sample]] = defaultdict(list)
    for sample in samples:
        by_class[(sample.needs, sample.tags)].append(sample)
    anybody = _anybody(groups)
    return {
        key: [sum(_seconds(one, group.speeds, anybody) for one in some) / sum(one.cost_s for one in some) for group in groups]
        for key, some in by_class.items()
    }


def _anybody(groups: Iterable[Group]) -> dict[Pace, float]:
    """The middle of what is known at each pace: how fast an engine counts that was not measured at it."""
    told: dict[Pace, list[float]] = defaultdict(list)
    for group in groups:
        for pace, fps in group.speeds.items():
            told[pace].append(fps)
    return {pace: sorted(speeds)[(len(speeds) - 1) // 2] for pace, speeds in told.items()}


def _seconds(sample: Sample, speeds: Mapping[Pace, float], anybody: Mapping[Pace, float]) -> float:
    fps = speeds.get(sample.pace) or anybody.get(sample.pace)
    return sample.cost_s if fps is None else AROUND_S + sample.frames / fps


def _divide(classes: Sequence[Class], groups: Sequence[Group], factors: Factors) -> dict[Key, float | None]:
    """When each class is done, its engines serving the others as well: who would wait longer is given more of them."""
    work = {one.key: _works(one, groups, factors) for one in classes}
    weight = {one.key: 1.0 for one in classes}
    done: dict[Key, float | None] = {}
    for _ in range(ROUNDS):
        shared = [sum(weight[key] * row[at] for key, row in work.items() if at in row) for at in range(len(groups))]
        for one in classes:
            row = work[one.key]
            rate = sum(
                groups[at].slots[one.kind] * weight[one.key] / shared[at] if shared[at] else groups[at].slots[one.kind] / seconds
                for at, seconds in row.items()
                if seconds
            )
            done[one.key] = (1.0 / rate if rate else 0.0) if row else None
        for key, span in done.items():
            weight[key] *= span or 1.0
    return done


def _works(one: Class, groups: Sequence[Group], factors: Factors) -> dict[int, float]:
    """By the group that fits and has slots: the seconds of one slot there that the class takes."""
    needs, tags = frozenset(one.key[0]), frozenset(one.key[1])
    known = factors.get(one.key[:2])
    return {
        at: one.work_s * (known[at] if known is not None else 1.0)
        for at, group in enumerate(groups)
        if group.slots[one.kind] and fits(needs, tags, provided=group.provided, has_tags=group.tags)
    }


def _told(
    one: Class, groups: Sequence[Group], factors: Factors, backlog_s: float | None, goal: Goal
) -> tuple[BacklogClass, float]:
    """What is told of a class, and how many engines its work wants, with what is behind the point."""
    works = _works(one, groups, factors)
    slots = sum(groups[at].slots[one.kind] for at in works)
    engines = sum(groups[at].engines for at in works)
    work_s = sum(seconds * groups[at].slots[one.kind] for at, seconds in works.items()) / slots if slots else one.work_s
    each = slots / engines if engines else goal.slots_per_engine
    wanted = work_s / goal.target_s / each
    row = BacklogClass(
        name=name_of(one.key[0], one.key[1]),
        needs=one.key[0],
        tags=one.key[1],
        slots=one.kind,
        queued=one.queued,
        waiting=one.waiting,
        running=one.running,
        work_seconds=round(work_s, 3),
        backlog_seconds=None if backlog_s is None else round(backlog_s, 3),
        engines=engines,
        desired_engines=goal.within(max(len(one.holders), wanted)),
    )
    return row, wanted
