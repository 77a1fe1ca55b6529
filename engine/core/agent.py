"""The engine as a machine: an event comes in, instructions go out. It does no I/O and reads no clock.

Here: the connection to dispatch, reports and their answers, draining, and when the engine may leave. The life of the
attempts stands in `workload`. The order kept everywhere: disk first, then word to dispatch; nothing is forgotten
before dispatch has settled it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from engine.core import messages as m
from engine.core.attempts import Key, Phase, Report, key_of
from engine.core.backoff import full_jitter, told_pause
from engine.core.outbox import Outbox, is_open
from engine.core.poll import REFUSALS, Poll
from engine.core.pressure import is_whole
from engine.core.pulse import Pulse
from engine.core.slots import NO_ROOM, Room, told
from engine.core.workload import Instructions, Workload
from protocol.capabilities import Capabilities, RegisterReply, RegisterRequest, Slots
from protocol.errors import ERRORS, ErrorCode
from protocol.leases import Goodbye, Order, Settlement
from protocol.states import EngineState

EXIT_DRAINED, EXIT_NOT_ALLOWED = 0, 3
EXIT_FOR_UPDATE = 75  # EX_TEMPFAIL; the shell runs the next version in this one's place, nobody else sees it
UNKNOWN_HERE = frozenset({ErrorCode.ENGINE_NOT_FOUND, ErrorCode.UNAUTHORIZED})
"""Dispatch does not know this engine, or not any more: register again."""


class Agent:
    """One engine. `chance` gives numbers in [0, 1), `new_id` names for lease requests."""

    def __init__(self, setup: m.Setup, saved: m.Saved, *, chance: Callable[[], float], new_id: Callable[[], str]) -> None:
        self._setup, self._saved, self._chance, self._total = setup, saved, chance, setup.slots.total
        self._identity = saved.identity
        self._capabilities = setup.capabilities
        self._outbox = Outbox()
        self._work = Workload(setup.slots, self._outbox)
        self._work.surveyed(setup.capabilities)
        self._poll = Poll(self._outbox, chance=chance, new_id=new_id, wait_s=setup.policy.wait_s)
        self._pulse = Pulse(boot_id=setup.boot_id, chance=chance)
        self._deferred: list[Report] = []
        self._is_registered = self._is_disk_ill = self._is_leaving = self._is_gone = False
        self._is_lingering = self._has_lingered = self._is_progress_due = self._is_goodbye_set = self._is_updating = False
        self._told_state = EngineState.ONLINE
        self._stops_asked = self._writes = self._register_failures = self._deferrals = 0

    @property
    def credential(self) -> str | None:
        """What dispatch knows this engine by now."""
        return None if self._identity is None else self._identity.credential

    def handle(self, event: m.Event) -> list[m.Instruction]:
        """What to do about `event`. The shell carries the instructions out in this order."""
        if self._is_gone:
            return []
        instructions = list(self._react(event))
        for instruction in instructions:
            if isinstance(instruction, m.Save) and instruction.changes.is_waited_for:
                self._writes += 1
            if isinstance(instruction, m.Exit):
                self._is_gone = True
        return instructions

    def _react(self, event: m.Event) -> Instructions:
        match event:
            case m.Quiet():
                return self._talk()
            case m.Started():
                return self._start()
            case m.StopAsked():
                return self._stop()
            case m.UpdateReady():
                self._is_updating = True
                return self._drain()
            case m.Rang(m.Timer.SESSIONS):
                return self._work.try_more_sessions()
            case m.Rang(timer):
                return self._ring(timer)
            case _ if isinstance(event, m.Happening):
                return self._happened(event)
            case _:
                return self._answered(event)

    def _happened(self, event: m.Happening) -> Instructions:
        match event:
            case m.ChangesSaved(changes):
                self._is_disk_ill = False
                if changes.is_waited_for:
                    self._writes -= 1
                return self._work.saved(changes)
            case m.RunEnded(report):
                return self._work.ended(report)
            case m.RunStopped(key):
                return self._work.stopped(key)
            case m.Progressed():
                return self._progressed(event)
            case m.LoadRead(load):
                return self._work.load_read(load)
            case m.Surveyed(capabilities):
                self._capabilities = capabilities
                self._work.surveyed(capabilities)
                return self._beat()
            case m.SaveFailed():
                self._is_disk_ill = True
                return iter(())

    def _answered(self, event: m.Answer) -> Instructions:
        match event:
            case m.LeaseAnswered():
                return self._leased(event)
            case m.HeartbeatAnswered(reply):
                lost, after = self._pulse.answered(reply)
                return self._beaten(lost, reply.orders, after)
            case m.LeaseFailed():
                return self._lease_failed(event)
            case m.HeartbeatFailed(code, _, retry_after):
                return self._heartbeat_failed(code, retry_after)
            case m.Registered(reply):
                return self._registered(reply)
            case m.RegisterFailed():
                return self._register_failed(event)
            case m.GoodbyeEnded():
                return iter((self._exit("drained"),))

    def _ring(self, timer: m.Timer) -> Instructions:
        match timer:
            case m.Timer.HEARTBEAT | m.Timer.PROGRESS:
                self._is_progress_due = False
                yield from self._beat()
            case m.Timer.LEASE_RETRY:
                yield from self._repeat_lease()
            case m.Timer.LINGER:
                self._is_lingering, self._has_lingered = False, self._writes > 0
            case m.Timer.OUTBOX:
                self._outbox.renew(tuple(report for report in self._deferred if self._work.wants(report)))
                self._deferred = []
            case m.Timer.REGISTER:
                yield from self._register()
            case m.Timer.DRAIN:
                if self._work.is_draining:
                    yield from self._work.end_of_drain()
            case m.Timer.GOODBYE:
                if self._work.is_draining:
                    yield self._exit("drained; what dispatch has not taken yet is kept on disk")

    # Coming and going

    def _start(self) -> Instructions:
        yield from self._work.take_over(self._saved.attempts)
        yield from self._work.restore(self._saved.sessions, self._saved.speeds)
        yield from self._register()

    def _register(self) -> Instructions:
        self._is_registered = False
        self._poll.abandon()
        setup, known = self._setup, self._identity
        request = RegisterRequest(
            name=setup.name,
            hostname=setup.hostname,
            addresses=setup.addresses,
            boot_id=setup.boot_id,
            version=setup.version,
            capabilities=self._proven(),
            tags=setup.tags,
            slots=self._slots(),
            held=self._work.attempts.as_held(),
            engine_id=known.engine_id if known else None,
        )
        yield m.Register(request, known.credential if known else setup.registration_token)

    def _register_failed(self, event: m.RegisterFailed) -> Instructions:
        self._register_failures += 1
        if event.code is None or _is_passing(event.code):
            asked = told_pause(event.code, event.retry_after, self._chance)
            yield m.Wake(m.Timer.REGISTER, full_jitter(self._register_failures, self._chance()) if asked is None else asked)
        elif self._identity is not None and event.code in UNKNOWN_HERE | {ErrorCode.FORBIDDEN}:
            self._identity = None  # revoked or unknown: introduce ourselves anew, with the registration token
            yield from self._register()
        else:
            advice = ". Give a valid registration token with --token-file." if event.code in UNKNOWN_HERE else ""
            yield m.Exit(EXIT_NOT_ALLOWED, f"Dispatch refused this engine: {event.message.rstrip('.')}{advice}")

    def _registered(self, reply: RegisterReply) -> Instructions:
        credential = reply.credential or (self._identity.credential if self._identity else None)
        if credential is None:
            yield m.Exit(EXIT_NOT_ALLOWED, "Dispatch registered this engine without giving it a credential.")
            return
        self._identity = m.Identity(reply.engine_id, credential)
        self._is_registered, self._register_failures = True, 0
        self._told_state = EngineState.ONLINE
        yield m.Save(m.Changes(identity=self._identity))
        for verdict in reply.held:
            key = key_of(verdict)
            if verdict.keep:
                self._work.keep(key)
            else:
                yield from self._work.drop(key, "dispatch wants it dropped")
        self._work.may_start = True
        yield from self._work.fill()
        yield m.Wake(m.Timer.HEARTBEAT, self._pulse.start(reply.heartbeat_s, self._proven()))

    def _stop(self) -> Instructions:
        self._stops_asked += 1
        yield from self._drain()
        if self._stops_asked > 1:
            yield from self._release_all("the engine was told to stop at once")
            self._is_goodbye_set = True
            yield m.Wake(m.Timer.GOODBYE, self._setup.policy.hurry_s)

    def _drain(self) -> Instructions:
        if self._work.is_draining:
            return
        self._work.is_draining = True
        self._poll.forget_lost()
        for attempt in self._work.attempts:
            if attempt.phase is Phase.WAITING:
                yield from self._work.release(attempt, "the engine is draining")
        yield m.Wake(m.Timer.DRAIN, self._setup.policy.drain_timeout_s)

    def _undrain(self) -> Instructions:
        """Only what dispatch itself ordered; a stopping process stays on its way out."""
        if self._work.is_draining and not self._stops_asked and not self._is_leaving and not self._is_updating:
            self._work.is_draining = self._is_goodbye_set = False
            yield from self._work.fill()

    def _release_all(self, reason: str) -> Instructions:
        for attempt in self._work.attempts:
            yield from self._work.release(attempt, reason)

    def _leave(self) -> Instructions:
        """While draining: say goodbye when nothing is held, or leave without once only unsent results are left."""
        if not self._work.attempts and not self._poll.may_bring_work:
            if self._is_registered and self._identity is not None:
                self._is_leaving = True
                yield m.SayGoodbye(self._identity, Goodbye(boot_id=self._setup.boot_id))
            else:
                yield self._exit("drained")
        if not self._is_goodbye_set and all(a.phase in (Phase.ENDING, Phase.FINISHED) for a in self._work.attempts):
            self._is_goodbye_set = True
            yield m.Wake(m.Timer.GOODBYE, self._setup.policy.goodbye_s)

    def _exit(self, message: str) -> m.Exit:
        is_for_update = self._is_updating and not self._stops_asked
        return m.Exit(EXIT_FOR_UPDATE if is_for_update else EXIT_DRAINED, message)

    # Heartbeats

    def _beat(self) -> Instructions:
        if not self._is_registered or self._identity is None:
            return
        self._told_state = self._state()
        beat = self._pulse.beat(self._told_state, self._work.load, self._slots(), self._proven(), self._work.attempts)
        if beat is not None:
            yield m.SendHeartbeat(self._identity, beat)

    def _beaten(self, lost: Iterable[Key], orders: Iterable[Order], after: float) -> Instructions:
        for key in sorted(lost):
            yield from self._work.drop(key, "lease lost")
        yield from self._obey(orders)
        yield m.Wake(m.Timer.HEARTBEAT, after)

    def _heartbeat_failed(self, code: ErrorCode | None, retry_after: float | None) -> Instructions:
        after = self._pulse.failed(told_pause(code, retry_after, self._chance))
        if code in UNKNOWN_HERE and self._is_registered:
            yield from self._register()
        else:
            yield m.Wake(m.Timer.HEARTBEAT, after)

    def _progressed(self, event: m.Progressed) -> Instructions:
        attempt = self._work.attempts.get(event.key)
        if attempt is None:
            return
        attempt.steps = event.steps
        if not self._is_progress_due:
            self._is_progress_due = True
            yield m.Wake(m.Timer.PROGRESS, self._pulse.progress_pause(self._setup.policy.progress_s))

    # Leases and reports

    def _talk(self) -> Instructions:
        """All that happened is handled: tell a change of state, poll anew if anything changed, or leave."""
        if self._is_leaving:
            return
        yield from self._work.fill()
        self._work.announce()
        if self._state() is not self._told_state:
            yield from self._beat()
        room = self._room()
        if self._is_registered and self._identity is not None and self._poll.is_due(room):
            if self._writes and not self._has_lingered:
                yield from self._linger()
            else:
                self._has_lingered = False
                request = self._poll.ask(self._setup.boot_id, room, is_draining=self._work.is_draining)
                yield m.AskLease(self._identity, request)
        if self._work.is_draining:
            yield from self._leave()

    def _linger(self) -> Instructions:
        """What is being written will be told in a moment, and the slots it frees offered: one request for all."""
        if not self._is_lingering:
            self._is_lingering = True
            yield m.Wake(m.Timer.LINGER, self._setup.policy.linger_s)

    def _leased(self, event: m.LeaseAnswered) -> Instructions:
        reply = event.reply
        reports, pause = self._poll.answered(event.request_id, reply, event.waited)
        yield from self._settle(reports, reply.settled)
        yield from self._obey(reply.orders)
        yield from self._work.take_concluded(reply.tasks, event.concluded)
        yield from self._work.take(reply.tasks)
        if len(event.concluded) > self._total.encoding:
            self._has_lingered = True  # so many come from a full queue: the next are fetched while these are written
        if pause is not None:
            yield m.Wake(m.Timer.LEASE_RETRY, pause)

    def _settle(self, reports: tuple[Report, ...], settled: tuple[Settlement, ...]) -> Instructions:
        """Answers come in the order of the reports; a report without its answer is sent again after a pause."""
        again = list(reports[len(settled) :])
        for report, answer in zip(reports, settled, strict=False):
            if is_open(report, answer):
                again.append(report)
            else:
                yield from self._work.settle(report, answer.error)
        yield from self._work.forget_settled()
        if not again:
            self._deferrals = 0
            return
        self._deferrals += 1
        self._deferred.extend(again)
        yield m.Wake(m.Timer.OUTBOX, full_jitter(self._deferrals, self._chance()))

    def _obey(self, orders: Iterable[Order]) -> Instructions:
        for order in orders:
            match order.order:
                case "cancel" | "drop" if order.task_id is not None and order.token is not None:
                    yield from self._work.drop(Key(order.task_id, order.token), f"{order.order} ordered")
                case "give_back" if order.task_id is not None and order.token is not None:
                    yield from self._give_back(Key(order.task_id, order.token))
                case "stop" if order.task_id is not None and order.token is not None:
                    yield m.Finish(Key(order.task_id, order.token))
                case "drain":
                    yield from self._drain()
                case "undrain":
                    yield from self._undrain()
                case _:
                    continue  # a cancel without its attempt means nothing

    def _give_back(self, key: Key) -> Instructions:
        """An idle engine could begin it now. What has begun here, or is not known here, is none of its business."""
        attempt = self._work.attempts.get(key)
        if attempt is not None and attempt.phase is Phase.WAITING:
            yield from self._work.release(attempt, "wanted back")

    def _lease_failed(self, event: m.LeaseFailed) -> Instructions:
        if event.code in UNKNOWN_HERE:
            if self._is_registered:
                yield from self._register()
            return
        travelling = self._poll.reports_of(event.request_id)
        asked = told_pause(event.code, event.retry_after, self._chance)
        pause = self._poll.failed(event.request_id, event.code, asked)
        if event.code in REFUSALS and len(travelling) == 1:
            self._outbox.discard(key_of(travelling[0]))
            yield from self._work.refused(travelling[0], event.message)
        if pause is not None:
            yield m.Wake(m.Timer.LEASE_RETRY, pause)

    def _repeat_lease(self) -> Instructions:
        request = self._poll.retry()
        if request is not None and self._is_registered and self._identity is not None:
            yield m.AskLease(self._identity, request)

    # What is told about ourselves

    def _state(self) -> EngineState:
        if self._work.is_draining:
            return EngineState.DRAINING
        is_pressed = self._is_disk_ill or any(map(is_whole, self._work.load.busy))
        return EngineState.BUSY if is_pressed else EngineState.ONLINE

    def _room(self) -> Room:
        return self._work.attempts.free_room() if self._state() is EngineState.ONLINE else NO_ROOM

    def _proven(self) -> Capabilities:
        return self._work.told(self._capabilities)

    def _slots(self) -> Slots:
        return told(self._total, self._room())


def _is_passing(code: ErrorCode) -> bool:
    """Whether trying the same later may help."""
    return ERRORS[code].status >= 500 or code in (ErrorCode.RATE_LIMITED, ErrorCode.NOT_LEADER)
