"""The engine's machine under events in any order, with crashes: what must hold whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core import messages as m
from engine.core.agent import Agent
from engine.core.attempts import Key, Report, key_of
from engine.core.recovery import recovered
from engine.core.slots import plain_slots
from protocol.capabilities import Kept, Load, RegisterReply
from protocol.errors import ErrorCode
from protocol.leases import Ack, Complete, Fail, HeartbeatReply, LeaseReply, Order, Release, Renewal, Start
from protocol.states import LIGHT_TASK_KINDS, TaskKind
from tests.unit.engine_desk import completed, failed, grant, settlement

SLOTS = plain_slots(encoding=2, light=1)


@dataclass
class Shell:
    """A shell that carries out whatever comes next only when told to, and checks every promise on the way."""

    disk: m.Saved = field(default_factory=m.Saved)
    rows: dict[Key, m.SavedAttempt] = field(default_factory=dict)
    settled: set[Key] = field(default_factory=set)
    ended_by_dispatch: set[Key] = field(default_factory=set)
    tasks: int = 0

    def __post_init__(self) -> None:
        self.boots = self.names = 0
        self.boot()

    def boot(self) -> None:
        """A new process: everything but the disk is gone."""
        self.boots += 1
        self.waiting: list[m.Instruction] = []
        self.running: dict[Key, m.Run] = {}
        self.stopping: set[Key] = set()
        self.is_gone = False
        saved = recovered(m.Saved(self.disk.identity, tuple(self.rows.values())), None, max_starts=3)
        self.rows = {key_of(row.grant): row for row in saved.attempts}
        self.taken_up = {key for key, row in self.rows.items() if row.is_started}
        setup = m.Setup(name="box", hostname="box", boot_id=f"boot-{self.boots:04}", version="1", slots=SLOTS)
        self.agent = Agent(setup, saved, chance=lambda: 0.5, new_id=self.new_id)
        self.feed(m.Started())

    def new_id(self) -> str:
        self.names += 1
        return f"r{self.names}"

    def feed(self, *events: m.Event) -> None:
        for event in (*events, m.Quiet()):
            for instruction in self.agent.handle(event):
                self.take(instruction)

    def take(self, instruction: m.Instruction) -> None:
        match instruction:
            case m.Run(started):
                key = key_of(started)
                assert self.rows[key].is_started, "a tool runs only after its start is on disk"
                assert key not in self.running, "an attempt runs once"
                self.running[key] = instruction
                self.check_slots()
            case m.Stop(key):
                self.stopping.add(key)
            case m.AskLease(_, request):
                for report in request.reports:
                    self.check_report(report)
                self.waiting.append(instruction)
            case m.Exit():
                self.is_gone = True
            case m.Forget():
                return
            case _:
                self.waiting.append(instruction)

    def check_slots(self) -> None:
        """What the last process had started is taken up again whatever runs: it may have ended with its report not yet on
        disk, and something else may have begun in its slot; from its journal it needs none.
        """
        kinds = [run.grant.kind for key, run in self.running.items() if key not in self.taken_up]
        assert sum(kind not in LIGHT_TASK_KINDS for kind in kinds) <= SLOTS.encoding
        assert sum(kind in LIGHT_TASK_KINDS for kind in kinds) <= SLOTS.light

    def check_report(self, report: Report) -> None:
        key = key_of(report)
        if key in self.settled | self.ended_by_dispatch:
            return  # a repeated request carries what it carried before
        assert key in self.rows, "nothing is told before it is on disk"
        if isinstance(report, Complete | Fail | Release):
            assert self.rows[key].final == report, "a final report is on disk before it is sent"
        if isinstance(report, Start):
            assert self.rows[key].is_started

    def save(self, changes: m.Changes) -> None:
        if changes.identity is not None:
            self.disk = replace(self.disk, identity=changes.identity)
        for key in changes.forgotten:
            row = self.rows.pop(key, None)
            if row is not None:
                assert key in self.settled | self.ended_by_dispatch, "nothing is forgotten before dispatch has settled it"
        for row in changes.granted:
            self.rows[key_of(row.grant)] = row
        for key, slot in changes.started:
            self.rows[key] = replace(self.rows[key], is_started=True, slot=slot)
        for final in changes.finals:
            self.rows[key_of(final)] = replace(self.rows[key_of(final)], final=final, is_started=True)

    # What may happen next

    def choices(self) -> list[Callable[[int], None]]:
        found: list[Callable[[int], None]] = [self.crash, self.load, self.signal_or_timer]
        if self.waiting:
            found += [self.answer] * 6
        if self.running:
            found += [self.end_run] * 3
        return found

    def step(self, number: int) -> None:
        choices = self.choices()
        choices[number % len(choices)](number // len(choices))
        if self.is_gone:
            self.boot()

    def crash(self, number: int) -> None:
        if number % 4 == 0:
            self.boot()

    def load(self, number: int) -> None:
        self.feed(m.LoadRead(Load(busy=("disk",) if number % 3 == 0 else ())))

    def signal_or_timer(self, number: int) -> None:
        timers = list(m.Timer)
        if number % 20 == 0:
            self.feed(m.StopAsked())
        else:
            self.feed(m.Rang(timers[number % len(timers)]))

    def end_run(self, number: int) -> None:
        key = sorted(self.running)[number % len(self.running)]
        run = self.running.pop(key)
        if key in self.stopping and number % 3:
            self.stopping.discard(key)
            self.feed(m.RunStopped(key))
        else:
            self.feed(m.RunEnded(failed(run.grant) if number % 2 else completed(run.grant)))

    def answer(self, number: int) -> None:
        instruction = self.waiting.pop(number % len(self.waiting))
        match instruction:
            case m.Save(changes):
                self.save(changes)
                self.feed(m.ChangesSaved(changes))
            case m.AskLease(_, request) if number % 5 == 0:
                code = (None, ErrorCode.DATABASE_UNAVAILABLE, ErrorCode.UNAUTHORIZED, ErrorCode.VALIDATION_FAILED)[number % 4]
                if code is ErrorCode.VALIDATION_FAILED:
                    self.ended_by_dispatch |= {key_of(report) for report in request.reports}
                self.feed(m.LeaseFailed(request.request_id, code, "no"))
            case m.AskLease(_, request):
                reply = self.lease(instruction, number)
                concluded = tuple(completed(one) for one in reply.tasks) if number % 8 == 0 else ()
                self.feed(m.LeaseAnswered(request.request_id, reply, 0.1, concluded))
            case m.SendHeartbeat(_, beat):
                lost = beat.running[:1] if number % 4 == 0 else ()
                self.ended_by_dispatch |= {Key(one.task_id, one.token) for one in lost}
                renewed = tuple(
                    Renewal(task_id=one.task_id, token=one.token, lease_s=60.0) for one in beat.running if one not in lost
                )
                failing = m.HeartbeatFailed(None, "no")
                self.feed(failing if number % 7 == 0 else m.HeartbeatAnswered(HeartbeatReply(renewed=renewed, heartbeat_s=15.0)))
            case m.Register(request):
                dropped = request.held[:1] if number % 3 == 0 else ()
                self.ended_by_dispatch |= {Key(one.task_id, one.token) for one in dropped}
                kept = tuple(Kept(task_id=one.task_id, token=one.token, keep=one not in dropped) for one in request.held)
                welcome = RegisterReply(engine_id="eng_1", credential="secret", heartbeat_s=15.0, lease_s=60.0, held=kept)
                self.feed(m.RegisterFailed(None, "no") if number % 6 == 1 else m.Registered(welcome))
            case m.SayGoodbye():
                self.feed(m.GoodbyeEnded())
            case m.Wake(timer):
                self.feed(m.Rang(timer))
            case _:
                raise AssertionError(f"nobody answers {instruction}")

    def lease(self, asked: m.AskLease, number: int) -> LeaseReply:
        """Some grants (one more than asked for, now and then), a verdict on every report, an order now and then."""
        grants = []
        for n in range(asked.request.slots + (number % 11 == 0)):
            self.tasks += 1
            kind = TaskKind.ANALYZE if n >= SLOTS.encoding else TaskKind.NOOP
            grants.append(grant(self.tasks, kind=kind))
        verdicts = []
        for n, report in enumerate(asked.request.reports):
            error = ErrorCode.STALE_LEASE if (number + n) % 6 == 0 else None
            if isinstance(report, Ack | Start) and error is None:
                verdicts.append(settlement(report))
                continue
            self.settled.add(key_of(report))
            verdicts.append(settlement(report, error))
        orders = []
        if number % 9 == 0 and self.rows:
            key = sorted(self.rows)[number % len(self.rows)]
            self.ended_by_dispatch.add(key)
            orders.append(Order(order="drop", task_id=key.task_id, token=key.token))
        return LeaseReply(tasks=tuple(grants), orders=tuple(orders), settled=tuple(verdicts))

    def calm_down(self) -> None:
        """From now on everything works, and no new work comes: all that is held is worked off and settled."""
        for _ in range(3000):
            if self.running:
                self.end_run(0)
            elif self.waiting:
                self.answer_well(self.waiting.pop(0))
            if self.is_gone:
                self.boot()
            if not self.rows and not self.running:
                return
        raise AssertionError(f"never settled: {self.rows}")

    def answer_well(self, instruction: m.Instruction) -> None:
        match instruction:
            case m.AskLease(_, request):
                self.settled |= {key_of(report) for report in request.reports if not isinstance(report, Ack | Start)}
                reply = LeaseReply(settled=tuple(settlement(report) for report in request.reports))
                self.feed(m.LeaseAnswered(request.request_id, reply, 1.0))
            case m.SendHeartbeat(_, beat):
                renewed = tuple(Renewal(task_id=one.task_id, token=one.token, lease_s=60.0) for one in beat.running)
                self.feed(m.HeartbeatAnswered(HeartbeatReply(renewed=renewed, heartbeat_s=15.0)))
            case m.Register(request):
                kept = tuple(Kept(task_id=one.task_id, token=one.token, keep=True) for one in request.held)
                welcome = RegisterReply(engine_id="eng_1", credential="secret", heartbeat_s=15.0, lease_s=60.0, held=kept)
                self.feed(m.Registered(welcome))
            case _:
                self.waiting.append(instruction)
                self.answer(len(self.waiting) - 1)


def play(numbers: Sequence[int]) -> Shell:
    shell = Shell()
    for number in numbers:
        shell.step(number)
    return shell


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, 10**6), max_size=80))
def test_whatever_happens_the_promises_hold(numbers: list[int]) -> None:
    play(numbers)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 10**6), max_size=60))
def test_whatever_happened_everything_held_is_settled_once_the_world_is_well(numbers: list[int]) -> None:
    shell = play(numbers)

    shell.calm_down()

    assert shell.rows == {}
