"""Carries out the machine's instructions, and feeds back what came of them. It decides nothing.

Everything here may be cut off at any await, as by kill -9: nothing is written or told on the way out.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import structlog

from engine.core import messages as m
from engine.core.agent import Agent
from engine.core.attempts import Key, key_of
from engine.core.failures import plugin_failed
from engine.core.slots import Slot
from engine.ports import AttemptRunner, Clock, DispatchClient, LoadMonitor, LocalQueue, Survey, Unreachable
from engine.shell.silence import Silence
from engine.shell.writer import Writer
from protocol.errors import ReelyardError
from protocol.leases import Complete, Fail, Goodbye, Grant
from protocol.results import StepReport

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class World:
    """Everything the daemon touches."""

    client: DispatchClient
    queue: LocalQueue
    runner: AttemptRunner
    monitor: LoadMonitor
    survey: Survey
    clock: Clock


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Seconds between two readings of the load, and between two proofs of the capabilities."""

    load_s: float = 5.0
    survey_s: float = 600.0


class Daemon:
    """One run of one engine. Cancelling `run` is the same as kill -9."""

    def __init__(self, agent: Agent, world: World, rhythm: Rhythm | None = None) -> None:
        self._agent, self._world, self._rhythm = agent, world, rhythm or Rhythm()
        self._silence = Silence(world.clock)
        self._writer = Writer(world.queue, world.clock, saved=self._on_saved, failed=self._on_save_failed)
        self._events: deque[m.Event] = deque()
        self._posted, self._in_doubt = asyncio.Event(), asyncio.Event()
        self._attempts: dict[Key, asyncio.Task[None]] = {}
        self._stopping: set[Key] = set()
        self._leftovers: asyncio.Queue[Key] = asyncio.Queue()
        self._timers: dict[m.Timer, asyncio.TimerHandle] = {}
        self._children: set[asyncio.Task[None]] = set()
        self._is_feeding = self._is_dead = False

    async def run(self) -> m.Exit:
        """Work until drained or refused."""
        self._loop = asyncio.get_running_loop()
        self._exit: asyncio.Future[m.Exit] = self._loop.create_future()
        try:
            async with asyncio.TaskGroup() as self._group:
                for duty in (self._pump(), self._writer.run(), self._clean(), self._watch_load(), self._prove()):
                    self._children.add(self._group.create_task(duty))
                self.post(m.Started())
                await asyncio.wait((self._exit,))
                await self._writer.flushed()
                self._is_dead = True
                for child in tuple(self._children):
                    child.cancel()
        finally:
            self._is_dead = True
            for timer in self._timers.values():
                timer.cancel()
        return self._exit.result()

    @property
    def is_working(self) -> bool:
        """Whether tools may be running."""
        return bool(self._attempts)

    def stop(self) -> None:
        """A stop signal arrived: the first drains, the second hands everything back at once."""
        log.info("stop_asked", running=len(self._attempts))
        self.post(m.StopAsked())

    def post(self, event: m.Event) -> None:
        """Hand in an event from outside the daemon's own tasks."""
        self._events.append(event)
        self._posted.set()

    async def _pump(self) -> None:
        while True:
            await self._posted.wait()
            self._posted.clear()
            self._feed()

    def _feed(self, *events: m.Event) -> None:
        """Let the machine handle these events, and those that arise from them at once; then it may talk."""
        self._events.extend(events)
        if self._is_feeding or self._is_dead:
            return
        self._is_feeding = True
        try:
            while self._events:
                while self._events:
                    self._carry_out(self._agent.handle(self._events.popleft()))
                self._carry_out(self._agent.handle(m.Quiet()))
        finally:
            self._is_feeding = False

    def _carry_out(self, instructions: Sequence[m.Instruction]) -> None:
        for instruction in instructions:
            match instruction:
                case m.Save(changes):
                    self._writer.add(changes)
                case m.Run(grant, slot):
                    self._run(grant, slot)
                case m.Wake(timer, after):
                    self._wake(timer, after)
                case m.Stop(key, reason):
                    self._stop_attempt(key, reason)
                case m.Finish(key):
                    self._world.runner.finish(key)
                case m.Forget(key, reason):
                    self._forget(key, reason)
                case m.Prove(reason):
                    log.info("survey_wanted", reason=reason)
                    self._in_doubt.set()
                case m.Exit():
                    self._exit.set_result(instruction)
                case _:
                    self._call(instruction)

    def _call(self, instruction: m.Register | m.SendHeartbeat | m.AskLease | m.SayGoodbye) -> None:
        match instruction:
            case m.AskLease():
                self._spawn(self._lease(instruction))
            case m.SendHeartbeat():
                self._spawn(self._heartbeat(instruction))
            case m.Register():
                self._spawn(self._register(instruction))
            case m.SayGoodbye(who, goodbye):
                self._spawn(self._say_goodbye(who, goodbye))

    def _spawn(self, coroutine: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = self._group.create_task(coroutine)
        self._children.add(task)
        task.add_done_callback(self._children.discard)
        return task

    # Attempts

    def _run(self, grant: Grant, slot: Slot) -> None:
        done = self._world.runner.instant(grant)
        if done is not None:
            self._events.append(m.RunEnded(done))
            return
        log.info("attempt_started", task=grant.task_id, token=grant.token, kind=grant.kind, slot=slot.name)
        key = key_of(grant)
        task = self._attempts[key] = self._spawn(self._attempt(grant, slot))
        task.add_done_callback(partial(self._attempt_over, key))

    async def _attempt(self, grant: Grant, slot: Slot) -> None:
        key = key_of(grant)

        def tell(steps: tuple[StepReport, ...]) -> None:
            self._feed(m.Progressed(key, steps))

        try:
            report = await self._world.runner.run(grant, slot, tell)
        except Exception as broken:  # this task owns the attempt: a fault in it fails the attempt, not the engine
            log.exception("attempt_broke", task=key.task_id, token=key.token)
            self._feed(m.RunEnded(Fail(task_id=key.task_id, token=key.token, failure=plugin_failed(broken))))
        else:
            _log_end(report)
            self._feed(m.RunEnded(report))

    def _attempt_over(self, key: Key, task: asyncio.Task[None]) -> None:
        """Also called when the attempt was stopped before it ran its first line."""
        self._attempts.pop(key, None)
        if key in self._stopping:
            self._stopping.discard(key)
            if task.cancelled() and not self._is_dead:
                log.info("attempt_stopped", task=key.task_id, token=key.token)
                self.post(m.RunStopped(key))

    def _stop_attempt(self, key: Key, reason: str) -> None:
        log.info("attempt_stopping", task=key.task_id, token=key.token, reason=reason)
        task = self._attempts.get(key)
        if task is None:
            self._events.append(m.RunStopped(key))
            return
        self._stopping.add(key)
        task.cancel()

    def _forget(self, key: Key, reason: str) -> None:
        if reason != "settled":
            log.info("attempt_forgotten", task=key.task_id, token=key.token, reason=reason)
        self._leftovers.put_nowait(key)

    async def _clean(self) -> None:
        while True:
            await self._world.runner.forget(await self._leftovers.get())

    # Calls to dispatch

    async def _lease(self, ask: m.AskLease) -> None:
        request_id = ask.request.request_id
        began = self._world.clock.now()
        try:
            reply = await self._world.client.lease(ask.who, ask.request)
        except Unreachable as silence:
            self._silence.unanswered(silence)
            self._feed(m.LeaseFailed(request_id, None, str(silence)))
        except ReelyardError as error:
            self._silence.answered()
            log.warning("lease_refused", code=error.code, problem=error.message)
            self._feed(m.LeaseFailed(request_id, error.code, error.message, error.retry_after))
        else:
            self._silence.answered()
            waited = self._world.clock.now() - began
            self._feed(m.LeaseAnswered(request_id, reply, waited, tuple(self._concluded(reply.tasks))))

    def _concluded(self, grants: Iterable[Grant]) -> Iterator[Complete | Fail]:
        """Work without a tool is done before anybody writes it down: it has no effect that could be lost."""
        for grant in grants:
            done = self._world.runner.instant(grant)
            if done is not None:
                yield done

    async def _heartbeat(self, beat: m.SendHeartbeat) -> None:
        try:
            reply = await self._world.client.heartbeat(beat.who, beat.request)
        except Unreachable as silence:
            self._silence.unanswered(silence)
            self._feed(m.HeartbeatFailed(None, str(silence)))
        except ReelyardError as error:
            self._silence.answered()
            log.warning("heartbeat_refused", code=error.code, problem=error.message)
            self._feed(m.HeartbeatFailed(error.code, error.message, error.retry_after))
        else:
            self._silence.answered()
            self._feed(m.HeartbeatAnswered(reply))

    async def _register(self, registration: m.Register) -> None:
        try:
            reply = await self._world.client.register(registration.request, registration.credential)
        except Unreachable as silence:
            self._silence.unanswered(silence)
            self._feed(m.RegisterFailed(None, str(silence)))
        except ReelyardError as error:
            self._silence.answered()
            log.warning("registration_refused", code=error.code, problem=error.message)
            self._feed(m.RegisterFailed(error.code, error.message, error.retry_after))
        else:
            self._silence.answered()
            log.info("engine_registered", engine=reply.engine_id, heartbeat_s=reply.heartbeat_s, lease_s=reply.lease_s)
            self._feed(m.Registered(reply))

    async def _say_goodbye(self, who: m.Identity, goodbye: Goodbye) -> None:
        try:
            await self._world.client.offline(who, goodbye)
        except (Unreachable, ReelyardError) as problem:
            log.warning("goodbye_unheard", problem=str(problem))
        self._feed(m.GoodbyeEnded())

    # Duties

    async def _watch_load(self) -> None:
        while True:
            self._feed(m.LoadRead(await self._world.monitor.read()))
            await self._world.clock.sleep(self._rhythm.load_s)

    async def _prove(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._rhythm.survey_s):
                    await self._in_doubt.wait()
            self._feed(m.Surveyed(await self._world.survey.run_once()))
            self._in_doubt.clear()

    def _wake(self, timer: m.Timer, after: float) -> None:
        earlier = self._timers.pop(timer, None)
        if earlier is not None:
            earlier.cancel()
        self._timers[timer] = self._loop.call_later(after, self.post, m.Rang(timer))

    def _on_saved(self, batch: Sequence[m.Changes]) -> None:
        self._feed(*(m.ChangesSaved(changes) for changes in batch))

    def _on_save_failed(self) -> None:
        self._feed(m.SaveFailed())


def _log_end(report: Complete | Fail) -> None:
    if isinstance(report, Fail):
        failure = report.failure
        log.warning("attempt_failed", task=report.task_id, token=report.token, code=failure.code, problem=failure.message)
    else:
        log.info("attempt_completed", task=report.task_id, token=report.token, files=len(report.result.files))
