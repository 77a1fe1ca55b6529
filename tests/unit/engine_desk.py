"""Samples and a small desk around the engine's machine, for its tests."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from engine.core import messages as m
from engine.core.agent import Agent
from engine.core.attempts import Key, Report, key_of
from engine.core.slots import SlotPlan, plain_slots
from protocol.capabilities import Capabilities, Device, Kept, Load, RegisterReply
from protocol.errors import ErrorCode, FailureClass
from protocol.leases import (
    Ack,
    Complete,
    Fail,
    Grant,
    HeartbeatReply,
    LeaseReply,
    LeaseRequest,
    Order,
    Renewal,
    Settlement,
    Start,
    digest_of,
)
from protocol.recipes import AnalyzeRecipe, InputLimits, NoopRecipe
from protocol.results import AttemptResult, Failure
from protocol.states import TaskKind

ENGINE = m.Identity("eng_1", "secret")


def grant(n: int, *, token: int | None = None, kind: TaskKind = TaskKind.NOOP) -> Grant:
    recipe = AnalyzeRecipe(limits=InputLimits()) if kind is TaskKind.ANALYZE else NoopRecipe()
    return Grant(
        task_id=f"tsk_{n}",
        token=token or n,
        job_id=f"job_{n}",
        kind=kind,
        recipe=recipe,
        steps=("noop",),
        lease_s=60.0,
        estimate_s=1.0,
    )


def completed(of: Grant) -> Complete:
    return Complete(task_id=of.task_id, token=of.token, result=AttemptResult())


def failed(of: Grant) -> Fail:
    failure = Failure(failure_class=FailureClass.ENGINE, code=ErrorCode.TOOL_FAILED, message="no")
    return Fail(task_id=of.task_id, token=of.token, failure=failure)


def settlement(report: Report, error: ErrorCode | None = None) -> Settlement:
    digest = digest_of(report) if error is None else None
    return Settlement(task_id=report.task_id, token=report.token, error=error, digest=digest)


@dataclass
class Desk:
    """Feeds one machine, ends every event with Quiet as the shell does, and remembers what it asked for."""

    slots: SlotPlan = field(default_factory=lambda: plain_slots(encoding=1, light=1))
    saved: m.Saved = field(default_factory=m.Saved)
    token: str | None = "token"
    policy: m.Policy = field(default_factory=m.Policy)
    asked: list[m.Instruction] = field(default_factory=list)

    def __post_init__(self) -> None:
        setup = m.Setup(
            name="box",
            hostname="box",
            boot_id="boot-0001",
            version="1",
            slots=self.slots,
            capabilities=Capabilities(devices=tuple(Device(index=each, name=each) for each in self._gpus())),
            registration_token=self.token,
            policy=self.policy,
        )
        names = iter(range(1, 1_000_000))
        self.agent = Agent(setup, self.saved, chance=lambda: 0.5, new_id=lambda: f"r{next(names)}")

    def _gpus(self) -> list[str]:
        return sorted({slot.device for slot in self.slots.slots if slot.device is not None})

    def feed(self, *events: m.Event) -> list[m.Instruction]:
        """What these events bring about, the word to dispatch included."""
        instructions = [instruction for event in (*events, m.Quiet()) for instruction in self.agent.handle(event)]
        self.asked.extend(instructions)
        return instructions

    def online(self, *held: Kept) -> list[m.Instruction]:
        """Started and registered."""
        self.feed(m.Started())
        return self.feed(registered(*held))

    def disk_done(self, instructions: Iterable[m.Instruction]) -> list[m.Instruction]:
        """All that these asked to save is saved."""
        return self.feed(*(m.ChangesSaved(one.changes) for one in instructions if isinstance(one, m.Save)))

    def granted(self, *grants: Grant) -> list[m.Instruction]:
        """These arrive as the answer to the newest lease request, and reach the disk."""
        return self.disk_done(self.answer(LeaseReply(tasks=grants)))

    def answer(self, reply: LeaseReply, *, waited: float = 1.0) -> list[m.Instruction]:
        return self.feed(m.LeaseAnswered(self.lease().request_id, reply, waited))

    def ended(self, report: Complete | Fail) -> list[m.Instruction]:
        """The run is over and its result on disk."""
        return self.disk_done(self.feed(m.RunEnded(report)))

    def supersede(self) -> list[m.Instruction]:
        """Dispatch answers every lease request but the newest, empty."""
        older = [one.request for one in self.asked if isinstance(one, m.AskLease)][:-1]
        return self.feed(*(m.LeaseAnswered(request.request_id, LeaseReply(), 1.0) for request in older))

    def lease(self) -> LeaseRequest:
        """The newest lease request."""
        return [one.request for one in self.asked if isinstance(one, m.AskLease)][-1]


def registered(*held: Kept) -> m.Registered:
    return m.Registered(RegisterReply(engine_id="eng_1", credential="secret", heartbeat_s=15.0, lease_s=60.0, held=held))


def saves(instructions: Iterable[m.Instruction]) -> list[m.Changes]:
    return [one.changes for one in instructions if isinstance(one, m.Save)]


def runs(instructions: Iterable[m.Instruction]) -> list[Key]:
    return [key_of(one.grant) for one in instructions if isinstance(one, m.Run)]


def leases(instructions: Iterable[m.Instruction]) -> list[LeaseRequest]:
    return [one.request for one in instructions if isinstance(one, m.AskLease)]


def plenty() -> m.LoadRead:
    return m.LoadRead(Load(disk_free_percent=50.0, disk_free_bytes=10**9))


def nearly_full() -> m.LoadRead:
    return m.LoadRead(Load(disk_free_percent=5.0, disk_free_bytes=10**9, busy=("disk",)))


ONE, TWO = grant(1), grant(2)
K1 = Key("tsk_1", 1)
ACK, START = Ack(task_id="tsk_1", token=1), Start(task_id="tsk_1", token=1)


def beats(instructions: list[m.Instruction]) -> list[m.SendHeartbeat]:
    return [one for one in instructions if isinstance(one, m.SendHeartbeat)]


def beat_answered(*renewed: Renewal, orders: tuple[Order, ...] = ()) -> m.HeartbeatAnswered:
    return m.HeartbeatAnswered(HeartbeatReply(renewed=renewed, orders=orders, heartbeat_s=15.0))


def ordered(order: Order) -> m.HeartbeatAnswered:
    return beat_answered(Renewal(task_id="tsk_1", token=1, lease_s=60.0), orders=(order,))


# Work that is done on the spot


def concluded(desk: Desk, *grants: Grant) -> list[m.Instruction]:
    return desk.feed(
        m.LeaseAnswered(desk.lease().request_id, LeaseReply(tasks=grants), 1.0, tuple(completed(one) for one in grants))
    )
