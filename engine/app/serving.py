"""One run of an engine, and the trial of another version of it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import entry_points, version
from pathlib import Path

import structlog

from config.engine import EngineSettings
from config.supervision import Supervision
from engine.app.parts import (
    Unusable,
    broker_line,
    gpu_names,
    listening_of,
    open_session,
    sandboxing_of,
    setup_of,
    slots_of,
    thresholds_of,
)
from engine.clock import SystemClock, new_request_id, new_stream_key, wall_time
from engine.core.agent import Agent
from engine.core.attempts import key_of
from engine.core.messages import Exit, UpdateReady
from engine.core.servers import Servers
from engine.core.shared_paths import prefixes
from engine.ports import Unreachable
from engine.shell.client import AskedPlaces, HttpDispatch
from engine.shell.crash import begin, death_of_last_run, take_over
from engine.shell.daemon import Daemon, Rhythm, World
from engine.shell.fetch import Fetcher
from engine.shell.loader import TRANSCODERS, load_transcoders
from engine.shell.monitors import MONITORS, load_monitors
from engine.shell.process import Tools
from engine.shell.queue import open_queue
from engine.shell.releases import Releases, Shop
from engine.shell.remote import RemoteInputs
from engine.shell.runner import Runner
from engine.shell.scratch import Scratch
from engine.shell.shares import Shares
from engine.shell.streams import Streams
from engine.shell.succession import EXIT_UNHEARD, Watching, heard, introduce, tried
from engine.shell.survey import ToolSurvey
from engine.shell.transfer import Transfer
from engine.shell.versions import PACKAGE, Versions
from protocol.errors import ReelyardError
from protocol.plugins import Surroundings

log = structlog.get_logger()


@contextmanager
def only_one(data: Path) -> Iterator[None]:
    """One engine per data directory. Raises Unusable while another runs there."""
    with (data / "engine.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as fault:
            raise Unusable(f"another engine uses {data}; stop it, or give this one its own --data") from fault
        yield


async def serve(settings: EngineSettings, versions: Versions) -> Exit:
    """Run one engine until it leaves."""
    data, clock, chance = settings.data.absolute(), SystemClock(), random.SystemRandom().random
    slots = slots_of(settings)
    loaded = load_transcoders(entry_points(group=TRANSCODERS), settings.plugins)
    sandboxing = await sandboxing_of(settings, clock)
    tools = Tools(clock, settings.nice, settings.reattach_s, confinement=sandboxing.of)
    async with open_queue(str(data / "engine.db"), wall=wall_time) as queue, open_session() as session:
        saved = await take_over(queue, clock, death_of_last_run(data), max_starts=settings.max_starts)
        servers = Servers(settings.servers)
        client = HttpDispatch(session, servers, partial(heard, versions))
        transfer, fetcher = Transfer(session, servers, clock, chance), Fetcher(clock, chance)
        runner = Runner(
            plugins=loaded.by_operation,
            scratch=Scratch(data / "scratch"),
            tools=tools,
            transfer=transfer,
            remote=RemoteInputs(fetcher),
            streams=Streams(transfer, fetcher, listening_of(settings), new_stream_key),
            shares=Shares(prefixes(settings.shared_paths, settings.servers, with_local=settings.share_local)),
            executing=begin(data),
            places=AskedPlaces(client, lambda: agent.credential),
        )
        await runner.sweep([key_of(attempt.grant) for attempt in saved.attempts if attempt.final is None])
        gpus = {slot.device: slot for slot in slots.slots if slot.device is not None}
        survey = ToolSurvey(
            loaded, tools, data / "scratch", data / "capabilities.json", version("reelyard"), sandboxing.tier, gpus, gpu_names()
        )
        setup = setup_of(settings, slots, await survey.at_start())
        surroundings = Surroundings(str(data), lambda: (os.getpid(), *tools.minders) if daemon.is_working else ())
        monitor = load_monitors(entry_points(group=MONITORS), surroundings, thresholds_of(settings))
        line = broker_line(settings, client, queue, (attempt.grant.token for attempt in saved.attempts))
        world = World(line.client, line.queue, runner, monitor, survey, clock)
        agent = Agent(setup, saved, chance=chance, new_id=new_request_id)
        daemon = Daemon(agent, world, Rhythm(survey_s=settings.survey_s))
        supervision = Supervision(os.environ, os.getpid())
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, _stop, daemon, supervision)
        log.info("engine_started", name=setup.name, boot=setup.boot_id, slots=slots.encoding, held=len(saved.attempts))
        supervision.started("taking work")
        shop = Shop(session, servers, settings.release_keys, queue, version(PACKAGE), wall_time)
        watching = Watching(Releases(shop, versions), clock, chance, settings.release_check_s)
        async with supervision.watched(), asyncio.TaskGroup() as duties:
            waiting = duties.create_task(_await_release(watching, daemon)) if settings.release_keys else None
            carrying = duties.create_task(line.run())
            leaving = await daemon.run()
            carrying.cancel()
            if waiting is not None:
                waiting.cancel()
        return leaving


async def _await_release(watching: Watching, daemon: Daemon) -> None:
    await watching.run()
    daemon.post(UpdateReady())


async def try_next(versions: Versions, argv: Sequence[str]) -> bool:
    """The version that waits proves itself as a child. False when a stop signal ended that, and so both."""
    async with Supervision(os.environ, os.getpid()).watched(), asyncio.TaskGroup() as group:
        trial = group.create_task(tried(versions, argv))
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, trial.cancel)
        await asyncio.wait((trial,))
    return not trial.cancelled()


async def report_once(settings: EngineSettings) -> int:
    """The trial of this version: registers with dispatch, is answered, and leaves. 69 when there is no answer."""
    data = settings.data.absolute()
    async with open_queue(str(data / "engine.db"), wall=wall_time) as queue, open_session() as session:
        saved = await queue.load()
        loaded = load_transcoders(entry_points(group=TRANSCODERS), settings.plugins)
        clock = SystemClock()
        sandboxing = await sandboxing_of(settings, clock)
        tools = Tools(clock, settings.nice, confinement=sandboxing.of)
        survey = ToolSurvey(loaded, tools, data / "scratch", data / "trial.json", version(PACKAGE), sandboxing.tier)
        setup = setup_of(settings, slots_of(settings), await survey.at_start())
        try:
            agent = Agent(setup, saved, chance=random.SystemRandom().random, new_id=new_request_id)
            await introduce(HttpDispatch(session, Servers(settings.servers)), agent, saved)
        except Unreachable:
            return EXIT_UNHEARD
        except ReelyardError as refused:
            log.error("trial_refused", code=refused.code, problem=refused.message)
            return 1
    return 0


def _stop(daemon: Daemon, supervision: Supervision) -> None:
    supervision.stopping("draining: what runs is finished first")
    daemon.stop()
