"""Download, read parts of, or stream an input: the decision, as a table. The first row that holds is taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from engine.core.containers import Layout
from protocol.recipes import AnalyzeRecipe, MeasureRecipe, PlannedRendition, Recipe, TranscodeRecipe
from protocol.states import TaskKind


class Way(StrEnum):
    SHARED = "shared path"
    RANGES = "ranges"
    WHOLE = "whole"
    STREAM = "stream"
    NO_ROOM = "no room"


class Need(StrEnum):
    """How a task reads its input."""

    ENDS = "its ends"
    PASS = "one pass"
    SEEK = "anywhere"


NEEDS = {TaskKind.ANALYZE: Need.ENDS, TaskKind.TRANSCODE: Need.PASS}
"""All other kinds may read anywhere, and so does an analysis of the whole."""

END_BYTES = 16 << 20
"""How much of either end is read: a probe looks at 5 MB, and for the last time stamp of a TS at up to 16 MB."""

MOST_INDEX_BYTES = 64 << 20
LARGE_BYTES = 256 << 20
SLOW_S = 2.0
"""An analysis reads ranges where the file is large, or would take so long to come at the bandwidth measured."""

SPARE_BYTES = 64 << 20
"""What stays free on the scratch disk besides what a task is expected to write; a small input asks for less."""

MOST_PROBES, PROBED_SECONDS = 4, 10
"""Encodes of a sample at the most, and how long it is: where the quality of renditions is looked for."""

IN_PARTS = frozenset({"mp4-index-first", "mp4-index-last", "matroska", "mpegts"})


@dataclass(frozen=True, slots=True)
class Situation:
    """Bytes, and bytes a second; `bandwidth` None before anything was measured. `outputs` is what the task will write."""

    size: int
    free: int
    outputs: int
    need: Need
    layout: Layout
    is_shared: bool = False
    bandwidth: float | None = None

    @property
    def in_ranges(self) -> int:
        return min(self.size, 2 * END_BYTES + sum(box.size for box in self.layout.index))

    def fits(self, size: int) -> bool:
        return size + self.outputs + min(SPARE_BYTES, self.size) <= self.free


def _is_slow(now: Situation) -> bool:
    return now.size > LARGE_BYTES or (now.bandwidth is not None and now.size > now.bandwidth * SLOW_S)


def _has_parts(now: Situation) -> bool:
    is_worth_it = now.in_ranges * 2 <= now.size and now.in_ranges - 2 * END_BYTES <= MOST_INDEX_BYTES
    return now.need is Need.ENDS and now.layout.container in IN_PARTS and is_worth_it and now.fits(now.in_ranges)


@dataclass(frozen=True, slots=True)
class Row:
    """`when` says in words what `holds` asks."""

    when: str
    way: Way
    holds: Callable[[Situation], bool]


TABLE: tuple[Row, ...] = (
    Row("the engine sees the file on a disk of its own, equal in size and at both ends", Way.SHARED, lambda s: s.is_shared),
    Row(
        "analysis of MP4, Matroska/WebM or MPEG-TS that is larger than 256 MiB, or would take more than 2 s",
        Way.RANGES,
        lambda s: _has_parts(s) and _is_slow(s),
    ),
    Row("the file, the outputs expected and 64 MiB fit on the scratch disk", Way.WHOLE, lambda s: s.fits(s.size)),
    Row("analysis of such a file that does not fit", Way.RANGES, _has_parts),
    Row(
        "an encode in one pass, of Matroska/WebM, MPEG-TS or MP4 with its index first; the outputs and 64 MiB fit",
        Way.STREAM,
        lambda s: s.need is Need.PASS and s.layout.streams and s.fits(0),
    ),
    Row("all else", Way.NO_ROOM, lambda s: True),
)


def choose(now: Situation) -> Way:
    return next(row.way for row in TABLE if row.holds(now))


def need_of(kind: TaskKind, recipe: Recipe) -> Need:
    """An analysis that decodes to the end reads more than the ends; a clip is sought, and its end is not that of the file."""
    match recipe:
        case AnalyzeRecipe():
            seeks = recipe.limits.strict
        case TranscodeRecipe():
            seeks = recipe.cut is not None or bool(recipe.parts)
        case _:
            seeks = False
    return Need.SEEK if seeks else NEEDS.get(kind, Need.SEEK)


def needs_a_look(size: int, free: int, outputs: int, need: Need, bandwidth: float | None) -> bool:
    """Whether the container matters for the choice: a small file that fits is fetched without a look at it."""
    now = Situation(size, free, outputs, need, Layout(""), bandwidth=bandwidth)
    return not now.fits(size) or (need is Need.ENDS and _is_slow(now))


def expected_outputs(recipe: Recipe) -> int:
    """Bytes the task will write, well on the high side: every rendition at a generous rate for its size, twice with HLS."""
    if isinstance(recipe, MeasureRecipe):
        return _probed(recipe)
    if not isinstance(recipe, TranscodeRecipe):
        return 0
    seconds = _seconds(recipe.source.duration)
    rates = sum(_rate(planned) * (2 if planned.playlist else 1) for planned in recipe.renditions)
    return int(seconds * (rates + 40_000))


def _probed(recipe: MeasureRecipe) -> int:
    """Samples are kept until the task is over."""
    seconds = _seconds(recipe.source.duration)
    tries = sum(map(_rate, recipe.probes)) * MOST_PROBES + sum(map(_rate, recipe.ladder))
    compared = sum(map(_rate, recipe.compare)) * min(seconds, recipe.sample_seconds)
    return int(tries * min(seconds, PROBED_SECONDS) + compared)


def _rate(planned: PlannedRendition) -> float:
    """Bytes a second: 0.1 bit a pixel at 30 frames, and the sound."""
    return planned.width * planned.height * 30 * 0.1 / 8 + planned.rendition.audio.bitrate / 8


def _seconds(duration: str) -> float:
    above, _, below = duration.partition("/")
    return float(above) / float(below or 1)


def as_table() -> str:
    """For the documentation."""
    rows = (f"| {row.when} | {row.way.value} |" for row in TABLE)
    return "\n".join(("| the first that holds | how the input is read |", "|---|---|", *rows))
