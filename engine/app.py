"""The engine's composition root: reads settings and arguments, builds the parts, runs the daemon or the doctor."""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import logging
import os
import random
import signal
import socket
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import entry_points, version
from pathlib import Path

import aiohttp
import structlog

from config.engine import EngineSettings
from config.sources import SettingsProblem, read_settings
from config.supervision import Supervision
from engine.clock import SystemClock, new_boot_id, new_request_id, new_stream_key, wall_time
from engine.core.agent import EXIT_FOR_UPDATE, Agent
from engine.core.attempts import key_of
from engine.core.messages import Exit, Policy, Setup, UpdateReady
from engine.core.pressure import Thresholds
from engine.core.servers import Servers
from engine.core.shared_paths import prefixes
from engine.core.slot_specs import SlotSpecProblem, planned
from engine.core.slots import SlotPlan
from engine.ports import LocalQueue, Unreachable
from engine.shell.broker import BrokerPlace, LibraryMissing, Line, line_of
from engine.shell.client import AskedPlaces, HttpDispatch
from engine.shell.crash import begin, death_of_last_run, take_over
from engine.shell.daemon import Daemon, Rhythm, World
from engine.shell.doctor import as_json, as_text, examine, sandbox
from engine.shell.fetch import Fetcher
from engine.shell.loader import TRANSCODERS, load_transcoders
from engine.shell.machine import read_machine
from engine.shell.monitors import MONITORS, load_monitors
from engine.shell.process import Tools
from engine.shell.queue import open_queue
from engine.shell.releases import Releases, Shop
from engine.shell.remote import RemoteInputs
from engine.shell.rtmp_door import Listening
from engine.shell.runner import Runner
from engine.shell.sandbox import Sandboxing, at_tier
from engine.shell.sandbox_check import BEST_FIRST, SandboxCheck, SandboxUnfit
from engine.shell.scratch import Scratch
from engine.shell.shares import Shares
from engine.shell.streams import Streams
from engine.shell.succession import EXIT_UNHEARD, TRIAL, Watching, become, chosen, heard, introduce, tried
from engine.shell.survey import ToolSurvey
from engine.shell.transfer import Transfer
from engine.shell.versions import PACKAGE, Versions
from protocol.capabilities import Capabilities
from protocol.errors import ReelyardError
from protocol.plugins import Resource, Surroundings

EXIT_USAGE, SETTINGS_INVALID = 2, "SETTINGS_INVALID"
NOWHERE = "http://localhost"
"""The doctor asks no server; settings have to name one."""

log = structlog.get_logger()


class Unusable(Exception):
    """The engine cannot start as it was told to; the text says why and what to do."""


def main(argv: Sequence[str]) -> int:
    """Exit codes: 0 drained, 1 the doctor found something, 2 wrong usage, 3 dispatch does not want this engine.

    69 ends the trial of another version while dispatch does not answer.
    """
    is_doctor = argv[:1] == ["doctor"]
    log_to_stderr(logging.ERROR if is_doctor else logging.INFO)  # what a doctor finds stands in its answer
    try:
        if is_doctor:
            return asyncio.run(doctor(_doctor_arguments(argv[1:])))
        if argv[:1] == ["config-check"]:
            return check_settings(argv[1:])
        settings = _settings(argv[1:] if argv[:1] == [TRIAL] else argv)
        os.umask(0o077)  # a credential and strangers' films are nobody else's, also in a directory that was there before
        settings.data.mkdir(parents=True, mode=0o700, exist_ok=True)
        if argv[:1] == [TRIAL]:
            with only_one(settings.data):
                return asyncio.run(report_once(settings))
        versions = Versions(settings.data.absolute() / "versions")
        with only_one(settings.data):
            other = chosen(versions, version(PACKAGE), os.environ)
            leaving = asyncio.run(serve(settings, versions)) if other is None else None
        if leaving is None:
            become(versions, other, argv)
        if leaving.code == EXIT_FOR_UPDATE:
            if not asyncio.run(try_next(versions, argv)):
                return 0
            become(versions, None, argv)
    except (SettingsProblem, Unusable) as problem:
        print(f"reelyard engine: {problem}", file=sys.stderr)  # noqa: T201 - for the person at the terminal
        return EXIT_USAGE
    tell = log.info if leaving.code == 0 else log.error
    tell("engine_left", code=leaving.code, message=leaving.message)
    return leaving.code


def log_to_stderr(least: int = logging.INFO) -> None:
    """Colours on a terminal, one JSON object a line elsewhere."""
    is_terminal = sys.stderr.isatty()
    renderer = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if is_terminal
        else structlog.processors.JSONRenderer()
    )
    faults = [] if is_terminal else [structlog.processors.format_exc_info]
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.TimeStamper(fmt="iso"), *faults, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


def _settings(argv: Sequence[str]) -> EngineSettings:
    parser = argparse.ArgumentParser(prog="reelyard engine", description="Take work from dispatch and do it.")
    parser.add_argument("--server", action="append", help="URL of dispatch; may be repeated where several servers run")
    parser.add_argument("--data", type=Path, help="directory for queue, identity and scratch files")
    parser.add_argument("--name", help="this engine's name (default: the host's)")
    parser.add_argument("--token-file", type=Path, help="file with the registration token")
    parser.add_argument("--slots", action="append", help="a number of encoding slots, or CPU:0-3, CPU_Set:4-7,9, GPU:0, repeated")
    parser.add_argument("--tag", dest="tags", action="append", help="kind:name, may be repeated")
    parser.add_argument("--config", type=Path, help="TOML file with settings")
    arguments = vars(parser.parse_args(argv))
    toml = arguments.pop("config")
    given = {name: value for name, value in arguments.items() if value is not None}
    return read_settings(EngineSettings, given, toml=toml, environ=os.environ)


def check_settings(argv: Sequence[str]) -> int:
    """Print what would be in force, as a settings file takes it; 2 and one line that names what is wrong."""
    parser = argparse.ArgumentParser(prog="reelyard config check --engine", description="Check the settings of an engine.")
    parser.add_argument("--config", type=Path, help="TOML file with settings")
    parser.add_argument("--server", help="URL of dispatch, where the file has none")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    told = parser.parse_args(argv)
    try:
        settings = read_settings(
            EngineSettings, {"server": told.server} if told.server else {}, toml=told.config, environ=os.environ
        )
        _slots(settings)
    except (SettingsProblem, Unusable) as problem:
        print(f"error: {SETTINGS_INVALID}: {problem}", file=sys.stderr)  # noqa: T201 - for the person at the terminal
        document: dict[str, object] = {"error": {"code": SETTINGS_INVALID, "message": str(problem), "details": {}}}
        lines: list[str] = []
    else:
        known = settings.model_dump(mode="json")
        document, lines = {"settings": known}, [line for name, value in known.items() for line in _setting(name, value)]
    print(*([json.dumps(document)] if told.json else lines), sep="\n", end="\n" if told.json or lines else "")  # noqa: T201 - the answer
    return 0 if "settings" in document else EXIT_USAGE


def _setting(name: str, value: object) -> list[str]:
    """TOML knows no null: what is not set is a comment. The keys of a section are told with its name before them."""
    if isinstance(value, dict):
        return [line for key, inner in value.items() for line in _setting(f"{name}.{key}", inner)]
    return [f"# {name} is not set" if value is None else f"{name} = {json.dumps(value)}"]


def _doctor_arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="reelyard doctor", description="Look at this machine as an engine would.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--data", type=Path, help="the engine's data directory")
    parser.add_argument("--config", type=Path, help="the engine's TOML file, for the plugins it prefers")
    return parser.parse_args(argv)


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
    slots = _slots(settings)
    loaded = load_transcoders(entry_points(group=TRANSCODERS), settings.plugins)
    sandboxing = await _sandboxing(settings, clock)
    tools = Tools(clock, settings.nice, settings.reattach_s, confinement=sandboxing.of)
    async with open_queue(str(data / "engine.db"), wall=wall_time) as queue, _session() as session:
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
            streams=Streams(transfer, fetcher, _listening(settings), new_stream_key),
            shares=Shares(prefixes(settings.shared_paths, settings.servers, with_local=settings.share_local)),
            executing=begin(data),
            places=AskedPlaces(client, lambda: agent.credential),
        )
        await runner.sweep([key_of(attempt.grant) for attempt in saved.attempts if attempt.final is None])
        gpus = {slot.device: slot for slot in slots.slots if slot.device is not None}
        survey = ToolSurvey(
            loaded, tools, data / "scratch", data / "capabilities.json", version("reelyard"), sandboxing.tier, gpus, _gpu_names()
        )
        setup = _setup(settings, slots, await survey.at_start())
        surroundings = Surroundings(str(data), lambda: (os.getpid(), *tools.minders) if daemon.is_working else ())
        monitor = load_monitors(entry_points(group=MONITORS), surroundings, _thresholds(settings))
        line = _line(settings, client, queue, (attempt.grant.token for attempt in saved.attempts))
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


def _line(settings: EngineSettings, client: HttpDispatch, queue: LocalQueue, written: Iterable[int]) -> Line:
    try:
        return line_of(BrokerPlace(**dict(settings.nats), name=settings.name), client, queue, SystemClock(), written)
    except LibraryMissing as missing:
        raise Unusable(str(missing)) from missing


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
    async with open_queue(str(data / "engine.db"), wall=wall_time) as queue, _session() as session:
        saved = await queue.load()
        loaded = load_transcoders(entry_points(group=TRANSCODERS), settings.plugins)
        clock = SystemClock()
        sandboxing = await _sandboxing(settings, clock)
        tools = Tools(clock, settings.nice, confinement=sandboxing.of)
        survey = ToolSurvey(loaded, tools, data / "scratch", data / "trial.json", version(PACKAGE), sandboxing.tier)
        setup = _setup(settings, _slots(settings), await survey.at_start())
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


async def _sandboxing(settings: EngineSettings, clock: SystemClock) -> Sandboxing:
    """The tier in force, proven now. Raises Unusable where the one asked for does not hold."""
    scratch = settings.data.absolute() / "scratch"
    scratch.mkdir(parents=True, mode=0o700, exist_ok=True)
    check = SandboxCheck(lambda tried: Tools(clock, settings.nice, confinement=tried.of), scratch)
    try:
        return await check.choose(None if settings.sandbox == "auto" else int(settings.sandbox))
    except SandboxUnfit as unfit:
        raise Unusable(str(unfit)) from unfit


def _session() -> aiohttp.ClientSession:
    """For calls and transfers alike: no proxies, no cookies, as many connections as are in use."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60), cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
    )


def _setup(settings: EngineSettings, slots: SlotPlan, capabilities: Capabilities) -> Setup:
    return Setup(
        name=settings.name,
        hostname=socket.gethostname(),
        boot_id=new_boot_id(),
        version=version("reelyard"),
        slots=slots,
        capabilities=capabilities,
        tags=settings.tags,
        registration_token=_token(settings.token_file),
        policy=Policy(drain_timeout_s=settings.drain_timeout_s, progress_s=settings.progress_s),
    )


def _listening(settings: EngineSettings) -> Listening:
    return Listening(settings.live_listen, settings.ports_of_streams, settings.live_address)


def _thresholds(settings: EngineSettings) -> Thresholds:
    return Thresholds(
        percent={
            Resource.CPU: settings.busy_cpu_percent,
            Resource.MEMORY: settings.busy_memory_percent,
            Resource.IO_WAIT: settings.busy_io_wait_percent,
            Resource.GPU: settings.busy_gpu_percent,
            Resource.GPU_MEMORY: settings.busy_gpu_memory_percent,
            Resource.GPU_ENCODER: settings.busy_gpu_encoder_percent,
        },
        disk_percent=settings.disk_watermark_percent,
        disk_warn_percent=settings.disk_warn_percent,
        disk_plenty_bytes=settings.disk_plenty_bytes,
    )


def _slots(settings: EngineSettings) -> SlotPlan:
    try:
        return planned(settings.slots, read_machine(), settings.light_slots)
    except SlotSpecProblem as problem:
        raise Unusable(f"slots: {problem}") from problem


def _gpu_names() -> dict[str, str]:
    return {gpu.index: gpu.name for gpu in read_machine().gpus}


def _token(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except OSError as fault:
        raise Unusable(f"the token file {path} cannot be read: {fault.strerror}") from fault


async def doctor(arguments: argparse.Namespace) -> int:
    """Print the findings; 1 if any is bad."""
    with tempfile.TemporaryDirectory() as scratch:
        directory = arguments.data or Path(scratch)
        told = read_settings(EngineSettings, {"server": NOWHERE}, toml=arguments.config, environ=os.environ)
        loaded = load_transcoders(entry_points(group=TRANSCODERS), told.plugins)
        clock = SystemClock()
        check = SandboxCheck(lambda tried: Tools(clock, confinement=tried.of), Path(scratch))
        trials = [await check.run_once(tier) for tier in BEST_FIRST]
        tier = max((trial.tier for trial in trials if trial.problem is None), default=0)
        tools, cache = Tools(clock, confinement=at_tier(tier).of), Path(scratch) / "capabilities.json"
        survey = ToolSurvey(loaded, tools, Path(scratch), cache, version("reelyard"), tier)
        monitor = load_monitors(entry_points(group=MONITORS), Surroundings(str(directory), tuple))
        findings = await examine(survey, monitor, directory)
        findings.append(sandbox(trials))
    print(as_json(findings) if arguments.json else as_text(findings))  # noqa: T201 - the answer of a command
    return 0 if all(finding.is_ok for finding in findings) else 1
