"""What the engine does about GPUs that are busy, come or go."""

from __future__ import annotations

from engine.core import messages as m
from engine.core.attempts import Attempt, Attempts, Phase
from engine.core.slots import Room, Slot, SlotKind, SlotPlan, light_slots
from protocol.capabilities import Capabilities, Device, GpuLoad, Load
from tests.unit.engine_desk import ONE, Desk, beats, leases

TWO_GPUS = SlotPlan(
    (
        Slot("cpu-0", SlotKind.CPU),
        Slot("GPU:0", SlotKind.GPU, device="0"),
        Slot("GPU:1", SlotKind.GPU, device="1"),
        *light_slots(2),
    )
)


def loaded(*gpus: str, busy: tuple[str, ...] = ()) -> m.LoadRead:
    return m.LoadRead(Load(gpus=tuple(GpuLoad(index=index) for index in gpus), busy=busy))


def proofs(instructions: list[m.Instruction]) -> list[m.Prove]:
    return [one for one in instructions if isinstance(one, m.Prove)]


def test_a_busy_gpu_closes_its_own_slots_alone_and_for_as_long_as_it_is_busy() -> None:
    desk = Desk(slots=TWO_GPUS)
    desk.online()
    desk.feed(loaded("0", "1"))

    closed, opened = desk.feed(loaded("0", "1", busy=("gpu:1",))), desk.feed(loaded("0", "1"))

    assert [(ask.slots, ask.light_slots, ask.gpu_slots) for ask in leases(closed)] == [(1, 2, 1)]
    assert [(ask.slots, ask.light_slots, ask.gpu_slots) for ask in leases(opened)] in ([(1, 2, 2)], [])


def test_what_runs_on_a_closed_gpu_takes_no_room_from_the_others() -> None:
    attempts = Attempts(TWO_GPUS)
    attempts.add(Attempt(ONE, Phase.RUNNING, 1, slot=TWO_GPUS.slots[2]))
    attempts.close(frozenset({"1"}))

    taken = attempts.vacancies().take(SlotKind.GPU)

    assert attempts.free_room() == Room(encoding=1, light=2, gpu=1)
    assert taken == TWO_GPUS.slots[1]


def test_a_gpu_that_goes_or_comes_has_everything_proven_anew() -> None:
    desk = Desk(slots=TWO_GPUS)
    desk.online()

    rounds = [desk.feed(loaded(*gpus)) for gpus in (("0", "1"), ("0", "1"), ("0",), ("0",), ("0", "1"))]

    assert [len(proofs(asked)) for asked in rounds] == [0, 0, 1, 0, 1]


def test_a_gpu_on_which_nothing_was_proven_gets_no_work_until_something_is() -> None:
    desk = Desk(slots=TWO_GPUS)
    desk.online()

    without = desk.feed(m.Surveyed(Capabilities(devices=(Device(index="0", name="card"),))))
    offered = desk.lease()

    assert [beat.request.slots.free_gpu for beat in beats(without)] == [1]
    assert offered.gpu_slots == 1
