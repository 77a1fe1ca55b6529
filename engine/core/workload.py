"""The life of each attempt on this engine: taken, saved, started, ended, reported, settled, forgotten."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator

from engine.core import messages as m
from engine.core.attempts import Attempt, Attempts, Final, Key, Phase, Report, key_of
from engine.core.cards import Card, cards_of, with_cards
from engine.core.outbox import Outbox
from engine.core.pressure import closed_devices
from engine.core.sessions import TRY_MORE_S, SessionLimit
from engine.core.slots import Slot, SlotPlan
from engine.core.speeds import Speeds, measured
from protocol.capabilities import Capabilities, EncoderSpeed, Load
from protocol.errors import ErrorCode, FailureClass
from protocol.leases import Ack, Complete, Fail, Grant, Release, Start
from protocol.results import Failure
from protocol.states import TaskKind

Instructions = Iterator[m.Instruction]
LAST_OF_STREAM_S = 60.0
"""How long a stream may take to become a recording once a drain is over."""


class Workload:
    """Decides what happens to attempts. `may_start` is off while dispatch has not said which of them are kept."""

    def __init__(self, slots: SlotPlan, outbox: Outbox) -> None:
        self.attempts = Attempts(slots)
        self._slots, self._outbox = slots, outbox
        self._unannounced: list[Attempt] = []
        self._settled: list[Key] = []
        self.load, self._speeds = Load(), Speeds()
        self._gpus: frozenset[str] | None = None
        self._cards: dict[str, Card] = {}
        self._proven = self.attempts.devices
        self._ended_streams: set[Key] = set()
        self.is_draining = False
        self.may_start = False

    def take_over(self, rows: Iterable[m.SavedAttempt]) -> Instructions:
        """What an earlier run of the engine held. What it had started goes on at once: its tool has a lease to be found in."""
        for row in rows:
            slot = self._slots.again(row.grant, row.slot or "") if row.is_started and row.final is None else None
            phase = Phase.WAITING if slot is None else Phase.RUNNING
            attempt = self.attempts.add(Attempt(row.grant, phase, row.order, final=row.final, slot=slot))
            if row.final is not None:
                attempt.phase = Phase.FINISHED
                self._outbox.add(row.final)
            elif slot is not None:
                self._unannounced.append(attempt)
                yield m.Run(row.grant, slot)

    def take(self, grants: Iterable[Grant]) -> Instructions:
        """New grants go to disk first. One that has a slot at once goes there as started, in the same write."""
        rows: list[m.SavedAttempt] = []
        vacancies = self.attempts.vacancies() if self.may_start and not self.is_draining else None
        for grant in grants:
            key = key_of(grant)
            if self.attempts.get(key) is not None or (yield from self._is_outdated(key)):
                continue
            slot = vacancies.seat(grant) if vacancies is not None else None
            order = self.attempts.next_order
            self.attempts.add(Attempt(grant, Phase.NEW if slot is None else Phase.STARTING, order, slot=slot))
            rows.append(m.SavedAttempt(grant, order, is_started=slot is not None, slot=slot.name if slot else None))
        if rows:
            yield m.Save(m.Changes(granted=tuple(rows)))

    def take_concluded(self, grants: Iterable[Grant], results: Iterable[Complete | Fail]) -> Instructions:
        """Granted work that was done on the spot needs no slot: grant and result go to disk in one write."""
        finals = {key_of(result): result for result in results}
        rows: list[m.SavedAttempt] = []
        for grant in grants if finals else ():
            final = finals.get(key := key_of(grant))
            if final is None or self.attempts.get(key) is not None or (yield from self._is_outdated(key)):
                continue
            order = self.attempts.next_order
            self.attempts.add(Attempt(grant, Phase.ENDING, order, final=final, had_scratch=False))
            rows.append(m.SavedAttempt(grant, order, is_started=True, final=final))
        if rows:
            yield m.Save(m.Changes(granted=tuple(rows)))

    def _is_outdated(self, key: Key) -> Generator[m.Instruction, None, bool]:
        """Whether a younger grant of the task is held. Work on an older one ends: its lease cannot live any more."""
        others = self.attempts.of_task(key.task_id)
        for other in others:
            if other.key.token < key.token and other.phase not in (Phase.ENDING, Phase.FINISHED):
                yield from self.drop(other.key, "granted anew")
        return any(other.key.token > key.token for other in others)

    def saved(self, changes: m.Changes) -> Instructions:
        """The disk has them: now they may be told, started, sent."""
        for row in changes.granted:
            yield from self._saved(key_of(row.grant), _written(row))
        for placed in changes.started:
            yield from self._saved(placed.key, Phase.STARTING)
        for final in changes.finals:
            yield from self._saved(key_of(final), Phase.ENDING)

    def _saved(self, key: Key, written: Phase) -> Instructions:
        """The disk has the attempt as it was in the phase `written`; it may be further, with that still to be written."""
        attempt = self.attempts.get(key)
        if attempt is None:
            return
        if attempt.is_dropped:
            yield from self.forget(key, "dropped")
            return
        match attempt.phase:
            case phase if phase is not written:
                return
            case Phase.NEW:
                attempt.phase = Phase.WAITING
                yield from self._acknowledge_or_hand_back(attempt)
            case Phase.STARTING if attempt.slot is not None:
                yield from self._launch(attempt, attempt.slot)
            case Phase.ENDING if attempt.final is not None:
                attempt.phase = Phase.FINISHED
                self._outbox.add(attempt.final)
            case _:
                return

    def _acknowledge_or_hand_back(self, attempt: Attempt) -> Instructions:
        if self.is_draining:
            yield from self.release(attempt, "the engine is draining")
            return
        self._acknowledge(attempt)

    def _acknowledge(self, attempt: Attempt) -> None:
        if not attempt.is_ack_told:
            attempt.is_ack_told = True
            self._outbox.add(Ack(task_id=attempt.key.task_id, token=attempt.key.token))

    def _launch(self, attempt: Attempt, slot: Slot) -> Instructions:
        if self.is_draining:
            yield from self._end(attempt, _release(attempt, "the engine is draining"))
            return
        attempt.phase = Phase.RUNNING
        self._unannounced.append(attempt)
        yield m.Run(attempt.grant, slot)

    def announce(self) -> None:
        """Tell the start of what runs; work that has ended already needs no more than its final report."""
        for attempt in self._unannounced:
            if attempt.phase is Phase.RUNNING:
                self._acknowledge(attempt)
                self._outbox.add(Start(task_id=attempt.key.task_id, token=attempt.key.token))
        self._unannounced.clear()

    def fill(self) -> Instructions:
        """Give free slots to waiting attempts, first come first."""
        if not self.may_start or self.is_draining:
            return
        waiting = self.attempts.waiting()
        if not waiting:
            return
        vacancies = self.attempts.vacancies()
        started: list[m.Placed] = []
        for attempt in waiting:
            slot = vacancies.seat(attempt.grant)
            if slot is not None:
                attempt.phase, attempt.slot = Phase.STARTING, slot
                started.append(m.Placed(attempt.key, slot.name))
        if started:
            yield m.Save(m.Changes(started=tuple(started)))

    def ended(self, report: Complete | Fail) -> Instructions:
        """The work is over: its result goes to disk, unless nobody wants it any more."""
        attempt = self.attempts.get(key_of(report))
        if attempt is None or attempt.phase not in (Phase.RUNNING, Phase.STOPPING):
            return
        if isinstance(report, Fail) and attempt.slot is not None and attempt.slot.device is not None:
            yield m.Prove("a task failed on a GPU")
        if attempt.is_dropped:
            yield from self.forget(attempt.key, "dropped")
            return
        if isinstance(report, Fail) and report.failure.code is ErrorCode.ENCODER_SESSIONS:
            yield from self._learn(attempt)
        if isinstance(report, Complete) and (measurement := measured(attempt.grant.recipe, report.result)) is not None:
            yield m.Save(m.Changes(speeds=self._speeds.learn(measurement)))
        yield from self._end(attempt, report)

    def _learn(self, attempt: Attempt) -> Instructions:
        """A GPU refused a session: no more tasks than it takes, until it is tried with one more."""
        limit = self.attempts.session_refused(attempt)
        if limit is not None:
            yield m.Save(m.Changes(sessions=(limit,)))
            yield m.Wake(m.Timer.SESSIONS, TRY_MORE_S)

    def try_more_sessions(self) -> Instructions:
        """Some time has passed since a GPU refused one."""
        grown = self.attempts.sessions.try_more()
        if grown:
            yield m.Save(m.Changes(sessions=grown))
            yield m.Wake(m.Timer.SESSIONS, TRY_MORE_S)

    def restore(self, limits: tuple[SessionLimit, ...], speeds: tuple[EncoderSpeed, ...]) -> Instructions:
        """What an earlier run learnt."""
        self._speeds.restore(speeds)
        if limits:
            self.attempts.sessions.restore(limits)
            yield m.Wake(m.Timer.SESSIONS, TRY_MORE_S)

    def load_read(self, load: Load) -> Instructions:
        """A GPU that came or went puts what is proven in doubt; the first reading is the state the survey found."""
        gpus = frozenset(gpu.index for gpu in load.gpus)
        if self._gpus is not None and self._gpus != gpus:
            yield m.Prove("other GPUs than before")
        self.load, self._gpus = load, gpus
        self._cards.update(cards_of(load))
        self._close()

    def surveyed(self, capabilities: Capabilities) -> None:
        """A GPU on which nothing could be proven gets no work."""
        self._proven = frozenset(device.index for device in capabilities.devices)
        self.attempts.prove(
            {one.index: frozenset((*one.encoders, *one.decoders)) for one in capabilities.devices if one.encoders}
        )
        self._close()

    def _close(self) -> None:
        self.attempts.close(closed_devices(self.load) | (self.attempts.devices - self._proven))

    def told(self, capabilities: Capabilities) -> Capabilities:
        """What was proven, with what was learnt besides."""
        return self._speeds.told(self.attempts.sessions.told(with_cards(capabilities, self._cards)))

    def stopped(self, key: Key) -> Instructions:
        """The tool that was to be stopped is gone."""
        attempt = self.attempts.get(key)
        if attempt is None or attempt.phase is not Phase.STOPPING:
            return
        if attempt.is_dropped:
            yield from self.forget(key, "dropped")
            return
        yield from self._end(attempt, _release(attempt, attempt.handed_back or "stopped"))

    def _end(self, attempt: Attempt, final: Final) -> Instructions:
        """The final report says all: an ack or start that was not sent yet is not needed any more."""
        attempt.phase, attempt.final = Phase.ENDING, final
        self._outbox.discard(attempt.key)
        yield m.Save(m.Changes(finals=(final,)))

    def drop(self, key: Key, reason: str) -> Instructions:
        """The attempt is worth nothing any more: stop its tool, tell nothing, forget it."""
        attempt = self.attempts.get(key)
        if attempt is None:
            return
        attempt.is_dropped = True
        self._outbox.discard(key)
        match attempt.phase:
            case Phase.WAITING | Phase.FINISHED:
                yield from self.forget(key, reason)
            case Phase.RUNNING:
                attempt.phase = Phase.STOPPING
                yield m.Stop(key, reason)
            case _:
                return  # it ends when the disk or the tool has answered

    def release(self, attempt: Attempt, reason: str) -> Instructions:
        """Hand an attempt back unharmed. One on its way to the disk is handed back when it is there."""
        match attempt.phase:
            case Phase.WAITING:
                yield from self._end(attempt, _release(attempt, reason))
            case Phase.RUNNING:
                attempt.phase, attempt.handed_back = Phase.STOPPING, reason
                yield m.Stop(attempt.key, reason)
            case _:
                return

    def end_of_drain(self) -> Instructions:
        """What is not finished by now is handed back. Streams end in good order first, so that their recordings are kept, and
        are handed back when this comes again.
        """
        streams = {one.key for one in self.attempts if one.phase is Phase.RUNNING and one.grant.kind is TaskKind.LIVE}
        fresh = streams - self._ended_streams
        self._ended_streams |= fresh
        for attempt in self.attempts:
            if attempt.key in fresh:
                yield m.Finish(attempt.key)
            else:
                yield from self.release(attempt, "not finished in time while draining")
        if fresh:
            yield m.Wake(m.Timer.DRAIN, LAST_OF_STREAM_S)

    def settle(self, report: Report, error: ErrorCode | None) -> Instructions:
        """Dispatch answered a report for good."""
        attempt = self.attempts.get(key_of(report))
        if attempt is None:
            return
        if isinstance(report, Complete | Fail | Release):
            yield from self._settle_final(attempt, error)
        elif error is None:
            attempt.is_acked = True
        elif attempt.phase not in (Phase.ENDING, Phase.FINISHED):
            yield from self.drop(attempt.key, error)
        # else: the final report is under way and its own answer decides

    def _settle_final(self, attempt: Attempt, error: ErrorCode | None) -> Instructions:
        """Most answers are good ones, hundreds at once: their attempts leave the disk in one change."""
        if error is not None or attempt.had_scratch:
            yield from self.forget(attempt.key, error or "settled")
            return
        self._outbox.discard(attempt.key)
        self.attempts.remove(attempt.key)
        self._settled.append(attempt.key)

    def forget_settled(self) -> Instructions:
        """Take what was settled since the last call off the disk."""
        if self._settled:
            keys, self._settled = tuple(self._settled), []
            yield m.Save(m.Changes(forgotten=keys))

    def refused(self, report: Report, why: str) -> Instructions:
        """Dispatch cannot even read this report. A result becomes a failure; anything else is given up."""
        attempt = self.attempts.get(key_of(report))
        if attempt is None:
            return
        if not isinstance(report, Complete):
            yield from self.drop(attempt.key, f"report refused: {why}")
            return
        failure = Failure(
            failure_class=FailureClass.INTERNAL,
            code=ErrorCode.INTERNAL_ERROR,
            message="The result could not be reported: dispatch refused its form.",
            evidence={"refusal": why[:500]},
        )
        yield from self._end(attempt, Fail(task_id=report.task_id, token=report.token, failure=failure))

    def wants(self, report: Report) -> bool:
        """Whether a report that was not settled still says something: not after a drop, nor once a final one says more."""
        attempt = self.attempts.get(key_of(report))
        if attempt is None or attempt.is_dropped:
            return False
        return isinstance(report, Complete | Fail | Release) or attempt.final is None

    def keep(self, key: Key) -> None:
        """Dispatch confirmed a held attempt at registration. One that waits is acknowledged again."""
        attempt = self.attempts.get(key)
        if attempt is not None and attempt.phase is Phase.WAITING:
            self._acknowledge(attempt)

    def forget(self, key: Key, reason: str) -> Instructions:
        self._outbox.discard(key)
        self.attempts.remove(key)
        yield m.Save(m.Changes(forgotten=(key,)))
        yield m.Forget(key, reason)


def _written(row: m.SavedAttempt) -> Phase:
    """The phase whose write this row is."""
    if row.final is not None:
        return Phase.ENDING
    return Phase.STARTING if row.is_started else Phase.NEW


def _release(attempt: Attempt, reason: str) -> Release:
    return Release(task_id=attempt.key.task_id, token=attempt.key.token, reason=reason)
