"""Heartbeats saved as one set: what each is told, and what each of the rows becomes, on every store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from dispatch.core.lease_table import LeaseTable, LeaseTimes
from dispatch.core.planning import STEPS
from dispatch.core.records import Engine
from dispatch.events.bus import CommitBus
from dispatch.ports import Commit, StaleRow, Store, Transaction
from dispatch.services.engines import Pace
from dispatch.services.heartbeats import HeartbeatService, Progress
from dispatch.services.registry import EngineRegistry
from protocol.capabilities import Capabilities, Load, Slots
from protocol.errors import ErrorCode, ReelyardError
from protocol.leases import Heartbeat, HeartbeatReply, Order, Renewal, RunningTask
from protocol.results import StepReport
from protocol.states import EngineState, StepState
from tests.contract.services_world import Moments
from tests.contract.store_adapters import ADAPTERS, granted, graph_of, job, open_store
from tests.unit.dispatch_jobs import NOW

SLOTS = Slots(encoding=1, light=1, free_encoding=1, free_light=1)


def engine(number: int) -> Engine:
    return Engine(
        engine_id=f"eng_{number}",
        name=f"box-{number}",
        hostname="box",
        boot_id=f"boot-{number:04}",
        software_version="1",
        state=EngineState.ONLINE,
        credential_sha256=f"{number:064}",
        capabilities_json=Capabilities().model_dump_json(),
        tags=(),
        slots_json=SLOTS.model_dump_json(),
        load_json=Load().model_dump_json(),
        registered_at=NOW,
        last_heartbeat_at=NOW,
    )


def beat(number: int, *, percent: float = 0.0, running: tuple[RunningTask, ...] = ()) -> Heartbeat:
    load = Load(cpu_percent=percent)
    return Heartbeat(boot_id=f"boot-{number:04}", state=EngineState.ONLINE, load=load, slots=SLOTS, running=running)


def running(name: str, token: int, progress: float) -> RunningTask:
    step = StepReport(name="noop", state=StepState.RUNNING, progress=progress)
    return RunningTask(task_id=f"tsk_{name}", token=token, started=True, steps=(step,))


class Farm:
    """Three engines; `a` is granted to the first and `b` to the second."""

    def __init__(self, store: Store, bus: CommitBus) -> None:
        self.store, self.clock = store, Moments()
        registry, table = EngineRegistry(self.clock), LeaseTable(LeaseTimes())
        self.progress: list[Progress] = []
        self.service = HeartbeatService(store, table, registry, self.clock, Pace(), self.progress.append)
        bus.add(registry, self)
        self._table = table

    def __call__(self, commit: Commit) -> None:
        self._table.apply(commit.attempts, monotonic=self.clock.monotonic())

    async def begin(self) -> None:
        def put(tx: Transaction) -> None:
            new = [job("a"), job("b")]
            tx.insert(new)
            held = [granted(new[0], 11), granted(new[1], 12)]
            attempt = replace(held[1].attempts[0], engine_id="eng_2", boot_id="boot-0002")
            tx.save(new, [held[0], replace(held[1], attempts=(attempt,))])
            for number in (1, 2, 3):
                tx.put_engine(engine(number))

        await self.store.transact(put)

    async def beats(self, *beats: tuple[int, Heartbeat]) -> list[HeartbeatReply | BaseException]:
        """The first goes alone, the others together."""
        calls = (self.service.heartbeat(f"eng_{number}", beat) for number, beat in beats)
        return await asyncio.gather(*calls, return_exceptions=True)


async def progress(farm: Farm, name: str) -> float:
    """Of the one step of its one task."""
    (step,) = STEPS.validate_json((await graph_of(farm.store, f"job_{name}")).tasks[0].steps_json)
    return step.progress


@pytest.fixture(params=ADAPTERS)
async def farm(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Farm]:
    bus = CommitBus()
    async with open_store(request.param, tmp_path, bus) as store:
        made = Farm(store, bus)
        await made.begin()
        yield made


async def test_each_of_a_set_is_saved_and_answered_for_itself(farm: Farm) -> None:
    farm.clock.advance(5.0)
    answers = await farm.beats(
        (3, beat(3)),
        (1, beat(1, percent=10.0, running=(running("a", 11, 0.25),))),
        (2, beat(2, percent=20.0, running=(running("b", 12, 0.5), running("a", 11, 0.9)))),
    )

    lease = Pace().lease_s
    assert answers == [
        HeartbeatReply(heartbeat_s=15.0),
        HeartbeatReply(renewed=(Renewal(task_id="tsk_a", token=11, lease_s=lease),), heartbeat_s=1.0),
        HeartbeatReply(renewed=(Renewal(task_id="tsk_b", token=12, lease_s=lease),), heartbeat_s=1.0),
    ]
    found = await farm.store.read(lambda tx: tx.engines())
    expected = [
        replace(engine(n), load_json=Load(cpu_percent=percent).model_dump_json(), last_heartbeat_at=NOW + 5.0, version=2)
        for n, percent in ((1, 10.0), (2, 20.0), (3, 0.0))
    ]
    assert found == expected
    assert [await progress(farm, name) for name in "ab"] == [0.25, 0.5]
    assert sorted(told.job_id for told in farm.progress) == ["job_a", "job_b"]


async def test_an_engine_that_is_not_known_or_has_begun_anew_spoils_nothing_for_the_others(farm: Farm) -> None:
    stale = beat(9)
    answers = await farm.beats((3, beat(3)), (1, beat(1, percent=10.0)), (2, stale), (7, beat(7)), (2, beat(2, percent=20.0)))

    codes = [answer.code if isinstance(answer, ReelyardError) else None for answer in answers]
    assert codes == [None, None, ErrorCode.ENGINE_NOT_FOUND, ErrorCode.ENGINE_NOT_FOUND, None]
    found = await farm.store.read(lambda tx: tx.engines_of(["eng_1", "eng_2", "eng_3", "eng_7"]))
    assert {one.engine_id: one.version for one in found.values()} == {"eng_1": 2, "eng_2": 2, "eng_3": 2}


async def test_two_of_one_engine_follow_each_other(farm: Farm) -> None:
    first = beat(1, percent=10.0, running=(running("a", 11, 0.25),))
    second = beat(1, percent=20.0, running=(running("a", 11, 0.75),))
    await farm.beats((3, beat(3)), (1, first), (1, second))

    found = (await farm.store.read(lambda tx: tx.engines_of(["eng_1"])))["eng_1"]
    assert (found.version, Load.model_validate_json(found.load_json).cpu_percent) == (3, 20.0)
    assert await progress(farm, "a") == 0.75


async def test_what_an_operator_wants_is_ordered_to_that_engine_alone(farm: Farm) -> None:
    await farm.store.transact(lambda tx: tx.put_engine(replace(engine(2), wanted="drain", state=EngineState.DRAINING)))

    answers = await farm.beats((3, beat(3)), (1, beat(1)), (2, beat(2)))

    assert [answer.orders for answer in answers if isinstance(answer, HeartbeatReply)] == [(), (), (Order(order="drain"),)]


async def test_an_engine_changed_since_it_was_loaded_is_not_written_over(farm: Farm) -> None:
    old = engine(1)
    await farm.store.transact(lambda tx: tx.put_engine(replace(old, weight=2.0, version=2)))

    with pytest.raises(StaleRow):
        await farm.store.transact(lambda tx: tx.put_engines([(old, replace(old, version=2, weight=3.0))]))

    assert (await farm.store.read(lambda tx: tx.engines_of(["eng_1"])))["eng_1"].weight == 2.0
