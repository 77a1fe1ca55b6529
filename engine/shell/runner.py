"""Runs attempts: fetch the input, run the plugin's tools, let the plugin judge, stage what was made."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TypeVar

import structlog

from engine.core import failures
from engine.core.attempts import Key, key_of
from engine.core.fetching import InputFailed
from engine.core.live import shortfall
from engine.core.progress import Progress
from engine.core.slots import Slot
from engine.core.verdicts import over_limit
from engine.ports import ScratchFull, Tell
from engine.shell.crash import Executing
from engine.shell.direct import Places
from engine.shell.feeding import Feeds, NotRead
from engine.shell.inputs import Inputs, Supply
from engine.shell.journal import ToolLost
from engine.shell.lines import OnLine
from engine.shell.process import Tools
from engine.shell.remote import RemoteInputs
from engine.shell.scratch import INPUT, INPUTS, WORK, Brought, Place, Scratch
from engine.shell.shares import NOTHING_SHARED, Shares
from engine.shell.space import NO_ROOM
from engine.shell.staging import stage, stage_original, way_of
from engine.shell.streams import Feed, Streams
from engine.shell.transfer import Transfer
from engine.shell.tries import TransferFailed
from protocol.errors import ErrorCode, FailureClass, ReelyardError
from protocol.leases import Complete, Fail, Grant, InputAccess, RemoteInput
from protocol.live import LiveTold
from protocol.plugins import JOINED, STREAM_HEAD, Conclusion, Follower, InputJoiner, Invocation, Outcome, TranscoderPlugin, Work
from protocol.recipes import LiveRecipe
from protocol.results import Failure, StagedFile, StepReport
from protocol.states import StepState
from protocol.steps import STREAM_LIVE

log = structlog.get_logger()
T = TypeVar("T")

MOST_INVOCATIONS = 500
"""Of one attempt, before its checks."""


class _Failed(Exception):
    """The attempt failed, and this is the report's failure."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
        super().__init__(failure.message)


@dataclass(frozen=True, slots=True)
class Runner:
    """The AttemptRunner port. `plugins` by task kind; `executing` names, for the next run, whose code this one died in."""

    plugins: Mapping[str, TranscoderPlugin]
    scratch: Scratch
    tools: Tools
    transfer: Transfer
    remote: RemoteInputs

    @property
    def inputs(self) -> Inputs:
        return Inputs(self.transfer, self.shares)

    executing: Executing = field(default_factory=Executing)
    shares: Shares = NOTHING_SHARED
    streams: Streams | None = None
    """None on an engine that receives none."""

    places: Places | None = None
    """Who tells where files go past dispatch. Without, everything is staged with dispatch."""

    def instant(self, grant: Grant) -> Complete | Fail | None:
        """Work without input and without a tool is concluded on the spot: no directory, no process."""
        plugin = self.plugins.get(grant.kind)
        if plugin is None or grant.input is not None or grant.inputs or isinstance(grant.recipe, LiveRecipe):
            return None
        try:
            with self.executing.during(key_of(grant)):
                conclusion = self._concluded(plugin, _work(grant, self.scratch.name_of(key_of(grant))))
        except Exception as fault:
            log.exception("plugin_failed", task=grant.task_id, plugin=plugin.name)
            return _fail(grant, failures.plugin_failed(fault))
        if isinstance(conclusion, Failure):
            return _fail(grant, conclusion)
        return None if conclusion is None or conclusion.facts else _complete(grant, conclusion, ())

    def _concluded(self, plugin: TranscoderPlugin, work: Work) -> Conclusion | Failure | None:
        if plugin.plan(work) or plugin.checks(work, ()):
            return None
        return plugin.conclude(work, (), ())

    async def run(self, grant: Grant, slot: Slot, tell: Tell) -> Complete | Fail:
        attempt = _Attempt(self, grant, slot, tell)
        try:
            return await self.executing.stepwise(key_of(grant), attempt.run())
        except _Failed as failed:
            return _fail(grant, failed.failure)
        except ToolLost as lost:
            log.warning("tool_lost", task=grant.task_id, token=grant.token, problem=lost.message, **lost.evidence)
            return _fail(grant, failures.tool_lost(lost.message, lost.evidence, lost.log_tail))
        except NotRead as short:
            return _fail(grant, failures.not_read(str(short), attempt.log_tail))
        except ScratchFull:
            return _fail(grant, failures.disk_full(attempt.log_tail))
        except InputFailed as missing:
            return _fail(grant, failures.input_failed(missing.code, missing.message))
        except TransferFailed as broken:
            return _fail(grant, failures.transfer_failed(str(broken), attempt.log_tail))
        except ReelyardError as error:
            return _fail(grant, failures.raised(error, attempt.log_tail))
        except Exception as fault:
            if isinstance(fault, OSError) and fault.errno in NO_ROOM:
                return _fail(grant, failures.disk_full(attempt.log_tail))
            log.exception("plugin_failed", task=grant.task_id, kind=grant.kind)
            return _fail(grant, failures.plugin_failed(fault, attempt.log_tail))

    def finish(self, key: Key) -> None:
        if self.streams is not None:
            self.streams.finish(key)

    async def forget(self, key: Key) -> None:
        await self.scratch.remove(key)

    async def sweep(self, keep: Collection[Key]) -> None:
        await self.scratch.sweep(keep)


class _Attempt:
    """One run of one attempt."""

    def __init__(self, runner: Runner, grant: Grant, slot: Slot, tell: Tell) -> None:
        self._runner, self._grant, self._slot, self._tell = runner, grant, slot, tell
        self._progress = Progress(grant.steps, uploads=grant.staging_url is not None)
        self._outcomes: list[Outcome] = []
        self.log_tail = ""

    async def run(self) -> Complete:
        runner, grant = self._runner, self._grant
        plugin = runner.plugins.get(grant.kind)
        if plugin is None:
            raise ReelyardError(ErrorCode.TOOL_MISSING, f"This engine has no plugin for {grant.kind} any more.")
        place = runner.scratch.make(key_of(grant))
        work = _work(grant, str(place.base), self._slot)
        for one in grant.inputs:
            await runner.transfer.fetch(one.access, place.of_sibling(one.name))
        ending: str | None = None
        if grant.input is not None and grant.input.remote is not None:
            ending = await self._bring(plugin, work, grant.input, grant.input.remote, place)
            work = replace(work, input_size=place.input.stat().st_size)
            conclusion = await self._do(plugin, work, place)
        elif grant.input is not None:
            conclusion = await self._supplied(plugin, work, place, grant.input)
        elif isinstance(grant.recipe, LiveRecipe):
            conclusion = await self._streamed(plugin, work, place, grant.recipe)
        else:
            conclusion = await self._do(plugin, work, place)
        way = way_of(runner.transfer, runner.places, grant, place)
        if ending is not None:
            original = await stage_original(way, place, ending, self._uploaded)
            conclusion = replace(conclusion, result=conclusion.result.model_copy(update={"original": original}))
        staged = await stage(way, place, conclusion, self._uploaded)
        return _complete(grant, conclusion, staged)

    async def _supplied(self, plugin: TranscoderPlugin, work: Work, place: Place, access: InputAccess) -> Conclusion:
        """The work on an input of dispatch. What fails on a part of it fails only if it does so on the whole, too."""
        inputs, grant = self._runner.inputs, self._grant
        async with inputs.supply(grant, access, place) as supply:
            try:
                return await self._do(plugin, replace(work, input_path=str(supply.path)), place, supply)
            except _Failed as failed:
                if not supply.has_holes:
                    raise
                log.info("whole_input_needed", task=grant.task_id, problem=failed.failure.message)
        supply = await inputs.whole(grant, access, place)
        return await self._do(plugin, replace(work, input_path=str(supply.path)), place, supply)

    async def _streamed(self, plugin: TranscoderPlugin, work: Work, place: Place, recipe: LiveRecipe) -> Conclusion:
        """A stream that has ended does not come again: whatever fails after that is not tried again."""
        streams = self._runner.streams
        if streams is None:
            raise ReelyardError(ErrorCode.TOOL_MISSING, "This engine receives no streams.")
        async with streams.receiving(self._grant, recipe, place, self._told_live) as feed:
            work = replace(work, input_path=str(feed.pipe), inputs={STREAM_HEAD: str(feed.head)})
            try:
                conclusion = await self._do(plugin, work, place, Supply(feed.pipe, feeder=feed))
            except _Failed as failed:
                if not feed.is_over:
                    raise
                raise _Failed(failed.failure.model_copy(update={"failure_class": FailureClass.POLICY})) from failed
            return _as_received(conclusion, feed)

    def _told_live(self, live: LiveTold) -> None:
        step = StepReport(name=STREAM_LIVE, state=StepState.RUNNING, duration_seconds=live.seconds, live=live)
        self._tell(self._progress.told((step,)))

    async def _do(self, plugin: TranscoderPlugin, work: Work, place: Place, supply: Supply | None = None) -> Conclusion:
        feeder, begin = supply.feeder if supply else None, len(self._outcomes)
        await self._use(plugin, work, place, plugin.plan(work), feeder)
        while more := self._following(plugin, work, begin):
            await self._use(plugin, work, place, more, feeder)
        files = place.made(len(self._outcomes))
        proofs = _or_fail(plugin.checks(work, files))
        if proofs and supply is not None and supply.has_holes:
            raise _Failed(failures.holes())
        await self._use(plugin, work, place, proofs)
        return _or_fail(plugin.conclude(work, tuple(self._outcomes), files))

    def _following(self, plugin: TranscoderPlugin, work: Work, begin: int) -> Sequence[Invocation]:
        """What the plugin wants to run by what it has seen so far, of what was run from `begin` on: on an input with holes it
        may have begun once before. Raises PLUGIN_FAILED for one that finds no end.
        """
        if not isinstance(plugin, Follower):
            return ()
        more = plugin.follow(work, tuple(self._outcomes[begin:]))
        if more and len(self._outcomes) >= MOST_INVOCATIONS:
            raise ReelyardError(ErrorCode.PLUGIN_FAILED, f"Plugin {plugin.name} finds no end after {MOST_INVOCATIONS} processes.")
        return more

    async def _bring(self, plugin: TranscoderPlugin, work: Work, access: InputAccess, remote: RemoteInput, place: Place) -> str:
        """Fetch the input from the net, join its tracks where it comes apart; the ending of the file it is now."""
        boot = self._runner.tools.boot
        brought = place.brought(boot)
        if brought is None:
            found = await self._runner.remote.fetch(access, remote, place, self._fetched)
            brought = Brought(boot, found.ending, tuple(map(str, found.tracks)))
            place.note_brought(brought)
        if brought.tracks:
            if not isinstance(plugin, InputJoiner):
                raise ReelyardError(ErrorCode.PLUGIN_FAILED, f"Plugin {plugin.name} cannot join picture and sound.")
            picture, sound = brought.tracks
            await self._use(plugin, work, place, (plugin.join(work, picture, sound),))
            place.take_for_input(JOINED, brought.tracks)
        return brought.ending

    async def _use(
        self,
        plugin: TranscoderPlugin,
        work: Work,
        place: Place,
        invocations: Sequence[Invocation],
        feeder: Feeds | None = None,
    ) -> None:
        for invocation in invocations:

            def on_line(line: str, invocation: Invocation = invocation) -> None:
                with self._runner.executing.during(key_of(self._grant)):
                    reports = plugin.read(work, invocation, line)
                if reports:
                    self._tell(self._progress.told(reports))

            outcome = await self._run(invocation, work.directory, on_line, place, feeder)
            self._outcomes.append(outcome)
            self.log_tail = outcome.stderr_tail.replace(work.directory, ".")
            failure = over_limit(outcome) or plugin.judge(work, outcome)
            if failure is not None:
                log_tail = (failure.log_tail or self.log_tail).replace(work.directory, ".")
                raise _Failed(failure.model_copy(update={"log_tail": log_tail}))

    async def _run(self, invocation: Invocation, directory: str, on_line: OnLine, place: Place, feeder: Feeds | None) -> Outcome:
        """A tool that is fed a file has no journal: it cannot outlive the engine that feeds it."""
        tools, journal = self._runner.tools, place.journal(len(self._outcomes))
        if feeder is not None and str(feeder.pipe) in invocation.reads:
            kept = journal if feeder.is_journaled else None
            return await feeder.feed(tools.run(invocation, directory, on_line, self._slot, kept))
        return await tools.run(invocation, directory, on_line, self._slot, journal)

    def _fetched(self, share: float) -> None:
        told = self._progress.fetched(share)
        if told is not None:
            self._tell(told)

    def _uploaded(self, fraction: float) -> None:
        self._tell(self._progress.uploaded(fraction))


def _work(grant: Grant, base: str, slot: Slot | None = None) -> Work:
    return Work(
        recipe=grant.recipe,
        steps=grant.steps,
        directory=f"{base}/{WORK}",
        threads=slot.threads if slot else 1,
        cpus=slot.cpus if slot else (),
        device=slot.device if slot else None,
        input_path=f"{base}/{INPUT}" if grant.input else None,
        input_name=grant.input.filename if grant.input else None,
        input_size=grant.input.size if grant.input else 0,
        inputs={one.name: f"{base}/{INPUTS}/{one.name}" for one in grant.inputs},
        keys=grant.keys,
    )


def _as_received(conclusion: Conclusion, feed: Feed) -> Conclusion:
    """What came in is as large as an input would be; where less of it was recorded, the client is told."""
    analysis, intake = conclusion.result.analysis, feed.intake
    if analysis is None or intake is None:
        return conclusion
    update: dict[str, object] = {"analysis": analysis.model_copy(update={"size_bytes": intake.size})}
    if (short := shortfall(intake.seconds, Fraction(analysis.duration))) is not None:
        update["warnings"] = (*conclusion.result.warnings, short)
    return replace(conclusion, result=conclusion.result.model_copy(update=update))


def _or_fail(value: T | Failure) -> T:
    if isinstance(value, Failure):
        raise _Failed(value)
    return value


def _complete(grant: Grant, conclusion: Conclusion, files: tuple[StagedFile, ...]) -> Complete:
    result = conclusion.result.model_copy(update={"files": files}) if files else conclusion.result
    return Complete(task_id=grant.task_id, token=grant.token, result=result)


def _fail(grant: Grant, failure: Failure) -> Fail:
    return Fail(task_id=grant.task_id, token=grant.token, failure=failure)
