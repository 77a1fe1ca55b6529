"""How many engines the work that waits wants: rows and engines in, figures out."""

from __future__ import annotations

import orjson
import pytest

from dispatch.core.backlog import Goal, Place, Sample, TaskSum, name_of, sample_of, scaling
from protocol.capabilities import SlotKind
from protocol.recipes import Pace
from protocol.scaling import BacklogClass, Scaling
from protocol.states import TaskKind, TaskState

CPU, X264 = ("operation:transcode",), ("encoder:libx264", "operation:transcode")
AV1 = ("encoder:libsvtav1", "operation:transcode")
GOAL = Goal(target_s=100.0, min_engines=0, max_engines=50, slots_per_engine=2)


def waits(cost_s: float, needs: tuple[str, ...] = X264, count: int = 1, tags: tuple[str, ...] = ()) -> TaskSum:
    return TaskSum(TaskKind.TRANSCODE, needs, tags, TaskState.PENDING, count, cost_s)


def held(by: str, count: int = 1, cost_s: float = 10.0) -> TaskSum:
    return TaskSum(TaskKind.TRANSCODE, X264, (), TaskState.RUNNING, count, cost_s, by)


def engine(*more: str, slots: int = 1, speeds: dict[Pace, float] | None = None) -> Place:
    can = frozenset({*X264, "operation:analyze", *more})
    return Place(can, frozenset(), {SlotKind.CPU: slots, SlotKind.LIGHT: 2, SlotKind.GPU: 0}, speeds or {})


def of(told: Scaling, name: str) -> BacklogClass:
    return next(one for one in told.classes if one.name == name)


def test_an_idle_farm_wants_no_more_than_the_least() -> None:
    assert scaling([], [], [engine()], Goal(100.0, 2, 50, 1)) == Scaling(
        queue_depth=0,
        waiting=0,
        running=0,
        backlog_seconds=0.0,
        engines=1,
        desired_engines=2,
        target_seconds=100.0,
        min_engines=2,
        max_engines=50,
    )


def test_a_class_tells_its_work_its_span_and_what_it_wants() -> None:
    told = scaling([waits(1000.0, count=20)], [], [engine(), engine(slots=3)], GOAL)

    assert told.classes == (
        BacklogClass(
            name="transcode libx264",
            needs=X264,
            tags=(),
            slots=SlotKind.CPU,
            queued=20,
            waiting=0,
            running=0,
            work_seconds=1000.0,
            backlog_seconds=250.0,
            engines=2,
            desired_engines=5,
        ),
    )
    assert (told.queue_depth, told.desired_engines) == (20, 5)


def test_without_an_engine_that_fits_there_is_no_span_but_engines_are_wanted() -> None:
    told = scaling([waits(1000.0, AV1)], [], [engine()], GOAL)

    assert (told.backlog_seconds, told.classes[0].backlog_seconds, told.classes[0].engines) == (None, None, 0)
    assert (told.classes[0].desired_engines, told.desired_engines) == (5, 5)


def test_no_more_are_wanted_than_the_most() -> None:
    assert scaling([waits(1e9)], [], [engine()], GOAL).desired_engines == 50


def test_engines_that_hold_tasks_are_wanted_whatever_they_hold() -> None:
    told = scaling([held("eng_1", 60, 0.6), held("eng_2"), held("eng_3")], [], [engine()] * 9, GOAL)

    assert (told.running, told.desired_engines, told.queue_depth) == (62, 3, 0)


def test_half_of_what_runs_is_left() -> None:
    assert scaling([held("eng_1", cost_s=50.0)], [], [engine()], GOAL).classes[0].work_seconds == 25.0


def test_two_classes_on_one_engine_wait_for_each_other() -> None:
    told = scaling([waits(300.0), waits(300.0, CPU)], [], [engine()], GOAL)

    assert [one.backlog_seconds for one in told.classes] == [600.0, 600.0]


def test_engines_are_left_to_the_class_that_no_other_serves() -> None:
    told = scaling([waits(100.0), waits(100.0, AV1)], [], [engine(), engine(*AV1)], GOAL)

    spans = [one.backlog_seconds for one in told.classes]
    assert spans == [pytest.approx(100.0, rel=0.04)] * 2


def test_measured_speeds_correct_the_estimate() -> None:
    pace = Pace("libx264", 1080)
    sample = Sample(X264, (), cost_s=10.0, pace=pace, frames=2900.0)
    told = scaling([waits(100.0, count=10)], [sample], [engine(speeds={pace: 100.0})], GOAL)

    assert told.classes[0].work_seconds == 300.0  # 29 s and 1 s around it where 10 s were estimated


def test_engines_that_were_not_measured_count_as_the_middle_of_those_that_were() -> None:
    pace = Pace("libx264", 1080)
    sample = Sample(X264, (), cost_s=10.0, pace=pace, frames=1900.0)
    told = scaling([waits(10.0)], [sample], [engine(speeds={pace: 100.0}), engine("operation:noop")], GOAL)

    assert (told.classes[0].work_seconds, told.classes[0].backlog_seconds) == (20.0, 10.0)


def test_light_work_takes_light_slots() -> None:
    analyses = TaskSum(TaskKind.ANALYZE, ("operation:analyze",), (), TaskState.PENDING, 100, 100.0)
    told = scaling([analyses], [], [engine()], GOAL)

    assert (told.classes[0].slots, told.classes[0].backlog_seconds, told.desired_engines) == (SlotKind.LIGHT, 50.0, 1)


def test_what_is_not_analyzed_yet_counts_as_the_mean_of_its_kind() -> None:
    later = TaskSum(TaskKind.TRANSCODE, CPU, (), TaskState.WAITING, 10, 10.0)
    told = scaling([waits(80.0, count=2), later], [], [engine()], GOAL)

    assert (of(told, "transcode").work_seconds, told.waiting, told.queue_depth) == (400.0, 10, 2)


def test_what_waits_is_never_less_than_was_estimated() -> None:
    later = TaskSum(TaskKind.PACKAGE, ("operation:package",), (), TaskState.WAITING, 10, 10.0)

    assert scaling([later], [], [engine("operation:package")], GOAL).classes[0].work_seconds == 10.0


def test_tags_and_needs_are_all_in_the_name() -> None:
    named = name_of(("encoder:libx264", "filter:zscale", "operation:transcode"), ("gpu:a", "site:b"))

    assert named == "transcode libx264 filter:zscale @gpu:a @site:b"


def test_tagged_work_fits_tagged_engines_alone() -> None:
    told = scaling([waits(10.0, tags=("site:b",))], [], [engine()], GOAL)

    assert told.classes[0].engines == 0


def test_a_sample_is_read_from_a_recipe() -> None:
    source = {"duration": "60", "video": {"frame_rate": "30000/1001"}}
    recipe = {"renditions": [{"encoder": "a", "height": 360}, {"encoder": "libx264", "height": 720}], "source": source}
    read = sample_of(X264, (), 10.0, orjson.dumps(recipe).decode())

    assert read == Sample(X264, (), 10.0, Pace("libx264", 720), float(60 * 30000 / 1001))


def test_a_recipe_that_encodes_no_picture_is_no_sample() -> None:
    assert sample_of(X264, (), 10.0, '{"renditions": [], "source": {"duration": "1", "video": null}}') is None
