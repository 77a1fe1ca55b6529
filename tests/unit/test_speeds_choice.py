"""Which waiting engine a new encode wakes: the fastest at its encoder and height, by what engines have told."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import pytest

from dispatch.core.lanes import Lane, Lanes
from dispatch.core.paces import Paces, pace_of_task
from dispatch.core.records import Engine
from dispatch.core.rooms import Room
from dispatch.core.waiting import MOST_PACES, WaitingEngines
from protocol.capabilities import Capabilities, EncoderSpeed, SlotKind
from protocol.recipes import Pace, TranscodeRecipe, pace_of
from protocol.states import TaskKind
from tests.unit.scheduler_play import Farm, given, play
from tests.unit.scheduler_world import Rows, make_engine, make_sight, make_task
from tests.unit.test_speeds_learning import SOURCE, rendition

ENCODES = ("operation:transcode", "encoder:libx264")
AT_360, AT_720 = Pace("libx264", 360), Pace("libx264", 720)
Speeds = Mapping[Pace, float]


def encoder(name: str, speeds: Speeds | None = None, **changes: Any) -> Engine:  # any field of the record
    """An engine that encodes, and has told how fast."""
    told = tuple(EncoderSpeed(encoder=pace.encoder, height=pace.height, fps=fps) for pace, fps in (speeds or {}).items())
    can = Capabilities(provided=frozenset({"operation:noop", *ENCODES}), speeds=told)
    return make_engine(name, capabilities_json=can.model_dump_json(), **changes)


def encode(name: str, *heights: int, **changes: Any) -> Any:  # any field of the task
    recipe = TranscodeRecipe(source=SOURCE, renditions=tuple(rendition(height) for height in heights))
    wanted = {"kind": TaskKind.TRANSCODE, "needs": tuple(sorted(ENCODES)), "recipe_json": recipe.model_dump_json()}
    return make_task(name, **{**wanted, **changes})


def woken(engines: Mapping[str, Engine], *tasks: Any, slots: Mapping[str, int] | None = None) -> list[tuple[str, str]]:
    """Which engine each task went to; the tasks come one by one, while all engines wait from the first on, each in turn."""
    went: list[tuple[str, str]] = []

    async def story(farm: Farm) -> None:
        asks: dict[str, asyncio.Task[Any]] = {}
        for name in engines:
            asks[name] = farm.asking(name, slots=(slots or {}).get(name, 1), wait_s=600.0)
            await asyncio.sleep(1)
        for task in tasks:
            farm.rows.save(task)
            await asyncio.sleep(1)
            for name in [name for name, ask in asks.items() if ask.done()]:
                went.extend((told, name) for told in given(asks.pop(name).result()))
        for ask in asks.values():
            ask.cancel()

    play(Rows(engines=list(engines.values())), story)
    return went


def test_the_faster_engine_gets_the_new_task_and_the_slower_one_the_next() -> None:
    engines = {"slow": encoder("slow", {AT_720: 30.0}), "fast": encoder("fast", {AT_720: 90.0})}

    assert woken(engines, encode("a", 360, 720), encode("b", 720)) == [("a", "fast"), ("b", "slow")]


def test_speed_counts_before_free_slots_and_these_among_engines_that_are_about_as_fast() -> None:
    engines = {
        "slow": encoder("slow", {AT_720: 30.0}),
        "one": encoder("one", {AT_720: 61.0}),
        "two": encoder("two", {AT_720: 60.0}),
    }

    assert woken(engines, encode("a", 720), slots={"slow": 8, "one": 1, "two": 2}) == [("a", "two")]


def test_each_height_has_its_own_order() -> None:
    engines = {"one": encoder("one", {AT_360: 300.0, AT_720: 30.0}), "two": encoder("two", {AT_360: 100.0, AT_720: 60.0})}

    assert woken(engines, encode("a", 720)) == [("a", "two")]
    assert woken(engines, encode("a", 360)) == [("a", "one")]


def test_speed_says_nothing_of_tasks_that_are_no_encodes() -> None:
    engines = {"slow": encoder("slow", {AT_720: 30.0}), "fast": encoder("fast", {AT_720: 90.0})}

    assert woken(engines, make_task("a")) == [("a", "slow")]


def test_an_engine_without_a_measurement_stands_in_the_middle() -> None:
    known = {
        "slow": encoder("slow", {AT_720: 20.0}),
        "some": encoder("some", {AT_720: 40.0}),
        "fast": encoder("fast", {AT_720: 80.0}),
    }
    engines = {"slow": known["slow"], "new": encoder("new", {AT_360: 1.0}), "some": known["some"], "fast": known["fast"]}
    tasks = [encode(name, 720) for name in "abcd"]

    assert woken(engines, *tasks) == [("a", "fast"), ("b", "new"), ("c", "some"), ("d", "slow")]


@pytest.mark.parametrize(("weight", "expected"), [(1.0, "fast"), (4.0, "slow"), (0.5, "fast")])
def test_an_operators_weight_multiplies_the_speed(weight: float, expected: str) -> None:
    engines = {"slow": encoder("slow", {AT_720: 30.0}, weight=weight), "fast": encoder("fast", {AT_720: 90.0})}

    assert woken(engines, encode("a", 720)) == [("a", expected)]


def test_a_slow_engine_that_asks_gets_work_whoever_is_faster() -> None:
    async def story(farm: Farm) -> None:
        assert given(await farm.asking("slow")) == ["a"]

    engines = [encoder("slow", {AT_720: 1.0}), encoder("fast", {AT_720: 90.0})]
    play(Rows(engines=engines, tasks=[encode("a", 720)]), story)


def test_a_task_is_measured_as_its_recipe_is() -> None:
    tall = TranscodeRecipe(source=SOURCE, renditions=(rendition(360), rendition(720, "h264_nvenc"), rendition(480)))
    empty = TranscodeRecipe(source=SOURCE, renditions=())
    tasks = [encode("a", recipe_json=recipe.model_dump_json()) for recipe in (tall, empty)]

    assert [pace_of_task(task) for task in tasks] == [pace_of(tall), None] == [Pace("h264_nvenc", 720), None]
    assert [pace_of_task(encode("a", recipe_json=None)), pace_of_task(make_task("a"))] == [None, None]


def test_the_middle_follows_what_engines_tell() -> None:
    paces = Paces()
    medians = [paces.median(AT_720)]
    for before, after in (({}, {AT_720: 10.0}), ({}, {AT_720: 30.0}), ({}, {AT_720: 20.0}), ({AT_720: 10.0}, {AT_720: 50.0})):
        paces.change(before, after)
        medians.append(paces.median(AT_720))
    paces.change({AT_720: 50.0}, {AT_360: 1.0})
    paces.change({AT_720: 30.0}, {})
    paces.change({AT_720: 20.0}, {})

    assert medians == [None, 10.0, 10.0, 20.0, 30.0]
    assert (paces.median(AT_720), paces.median(AT_360)) == (None, 1.0)


# The orders that are kept give what looking at everybody gives


def first_of_all(lanes: Lanes, rooms: Mapping[str, tuple[Room, float]], lane: Lane, pace: Pace | None) -> str | None:
    ranked = []
    for name, (room, since) in rooms.items():
        sight = lanes.sight(name)
        if sight is not None and room.of(lane.kind) > 0 and lanes.may_serve(name, lane):
            band = 0 if pace is None else lanes.paces.band(pace, sight.speeds, sight.weight)
            ranked.append((-band, -room.of(lane.kind) * sight.weight, since, name))
    return min(ranked)[-1] if ranked else None


@pytest.mark.parametrize("seed", range(5))
def test_the_first_of_an_order_is_the_first_of_all_who_wait(seed: int) -> None:
    rng = random.Random(seed)
    lanes = Lanes()
    paces = [Pace("libx264", 100 + n) for n in range(MOST_PACES + 4)]
    names = [f"eng_{n}" for n in range(30)]
    for n, name in enumerate(names):
        speeds = {pace: 2.0 ** rng.randint(0, 6) for pace in rng.sample(paces, 6)}
        tags = ("site:oslo",) if n % 3 else ()
        told = encoder(str(n), speeds, tags=tags, weight=rng.choice((1.0, 2.0)))
        assert told.engine_id == name
        lanes.set_engine(make_sight(str(n), capabilities_json=told.capabilities_json, tags=tags, weight=told.weight))
    some = [
        lanes.lane(encode("a", 720)),
        lanes.lane(encode("a", 720, tags=("site:oslo",))),
        lanes.lane(encode("a", 720, avoid=("eng_1", "eng_2"))),
    ]
    waiting = WaitingEngines(lanes)
    rooms: dict[str, tuple[Room, float]] = {}
    found = []
    for step in range(600):
        name = rng.choice(names)
        if rng.random() < 0.3:
            rooms.pop(name, None)
            waiting.drop(name)
        else:
            rooms[name] = (Room(rng.randint(1, 3), 0), float(step))
            waiting.put(name, *rooms[name])
        lane, pace = rng.choice(some), rng.choice([None, Pace("libx264", 4000), *paces])
        found.append(waiting.best(lane, None, pace))
        assert found[-1] == first_of_all(lanes, rooms, lane, pace)

    assert some[0].kind is SlotKind.CPU
    assert len(set(found)) > 20
