"""The composition root of dispatch: settings become adapters, adapters become services, services become a server."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import importlib.metadata
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog
from aiohttp import web
from sqlalchemy.exc import OperationalError

from config.dispatch import DispatchSettings
from config.profiles import BadProfile, load_profiles
from config.sources import SettingsProblem, read_settings
from dispatch.api.server import application, runner
from dispatch.api.wiring import Limits, Services
from dispatch.clock import RandomIds, SystemChance, SystemClock
from dispatch.core.lease_table import LeaseTable, LeaseTimes
from dispatch.events.bus import CommitBus
from dispatch.events.hub import EventHub
from dispatch.ports import Clock, Ids, Store
from dispatch.services.duties import Duty
from dispatch.services.engine_calls import EngineCalls
from dispatch.services.engines import EngineService, Pace, digest
from dispatch.services.files import FileService
from dispatch.services.gate import StorageGate, Watermarks
from dispatch.services.grants import GrantWriter
from dispatch.services.health import HealthService
from dispatch.services.heartbeats import HeartbeatService, Progress
from dispatch.services.housekeeping import Housekeeping
from dispatch.services.jobs import JobService
from dispatch.services.keys import KeyService
from dispatch.services.leases import Chance, LeaseService
from dispatch.services.orders import OrderDesk
from dispatch.services.profiles import ProfileBook
from dispatch.services.publishing import Publisher
from dispatch.services.registry import EngineRegistry
from dispatch.services.scheduler import Scheduler
from dispatch.services.server_files import ServerFiles
from dispatch.services.submissions import Rules, Sources, SubmissionService
from dispatch.services.sweeps import JobTimers, LeaseSweep
from dispatch.store.migrate import migrate
from dispatch.store.running import connect
from dispatch.store.sqlite import SqliteStore
from protocol.profiles import Profile
from protocol.storage import StorageProvider

log = structlog.get_logger("dispatch")
TENANTS = ("default",)
PROMOTION_EVERY_S, TIMERS_EVERY_S, HOUSEKEEPING_EVERY_S = 1.0, 2.0, 600.0
YOUNG_OBJECTS = 50_000
"""A batch of a thousand jobs makes so many records, none of them in a cycle: walking them took a fifth of all CPU."""

EXIT_FATAL = 70  # EX_SOFTWARE: the next start recovers from the database


@dataclass(frozen=True, slots=True)
class Secrets:
    """`signing` makes signed links; the others are what `<data>/secrets/` shows to people."""

    signing: bytes
    admin: str
    registration: str


@dataclass(frozen=True, slots=True)
class Outside:
    """Everything the services get from outside themselves."""

    store: Store
    bus: CommitBus
    storage: StorageProvider
    clock: Clock
    ids: Ids
    chance: Chance
    profiles: Sequence[Profile]
    secrets: Secrets


@dataclass(frozen=True, slots=True)
class Core:
    """The assembled services, the loops that must run beside them, and what has to be loaded before."""

    services: Services
    scheduler: Scheduler
    leases: LeaseService
    publisher: Publisher
    registry: EngineRegistry
    table: LeaseTable
    gate: StorageGate
    duties: tuple[Duty, ...]
    outside: Outside

    async def load(self) -> None:
        """Bring memory up to what the database says. Called once, before the loops run and calls are taken."""
        await self.services.keys.ensure_first(TENANTS, self.outside.secrets.admin)
        self.registry.load(await self.outside.store.read(lambda tx: tx.engines()))
        await self.leases.load()
        await self.scheduler.load()
        await self.publisher.load()
        await self.gate.run_once()


def assemble(outside: Outside, settings: DispatchSettings) -> Core:
    """Only names and order stand here, no decisions."""
    store, clock, ids, signing = outside.store, outside.clock, outside.ids, outside.secrets.signing
    lease_s = settings.leases.lease_s
    pace = Pace(heartbeat_s=settings.leases.heartbeat_s, lease_s=lease_s)
    table = LeaseTable(LeaseTimes(lease_s=lease_s, ack_s=settings.leases.ack_s))
    registry = EngineRegistry(clock)
    writer = GrantWriter(signing, lease_s=lease_s)
    leases = LeaseService(store, table, registry, writer, clock, outside.chance)
    timers = JobTimers(store, clock)
    scheduler = Scheduler(store, leases, clock, timers.on_backoff)
    hub = EventHub()

    def publish(progress: Progress) -> None:
        hub.publish_progress(progress.job_id, progress.tenant, progress.data_json)

    heartbeats = HeartbeatService(store, table, registry, clock, pace, publish)
    engines = EngineService(store, registry, table, ids, clock, pace)
    engines.orders = scheduler
    publisher = Publisher(store, outside.storage, clock)
    gate = StorageGate(outside.storage, _watermarks(settings), lambda why: scheduler.hold(why) if why else scheduler.resume())
    book = ProfileBook(outside.profiles)
    sources = _sources(book, outside, settings)
    services = Services(
        keys=KeyService(store, ids, clock, registration_sha256=digest(outside.secrets.registration)),
        submissions=SubmissionService(store, outside.storage, gate, sources, ids, clock),
        jobs=JobService(store, scheduler, clock, signing),
        engines=engines,
        leases=EngineCalls(store, leases, heartbeats, scheduler, writer, clock),
        files=FileService(store, outside.storage, clock, signing),
        health=HealthService(store, gate, registry, clock),
        store=store,
        storage=outside.storage,
        hub=hub,
        profiles=book,
        clock=clock,
        ids=ids,
        version=importlib.metadata.version("reelyard"),
    )
    outside.bus.add(leases, registry, scheduler, OrderDesk(scheduler), publisher, hub)
    sweep = LeaseSweep(store, table, engines, clock, lease_s=lease_s)
    promotion = Duty("promotion", publisher.run_once, PROMOTION_EVERY_S)
    publisher.wake = promotion.wake
    duties = (
        promotion,
        Duty("storage", gate.run_once, settings.storage.probe_s),
        Duty("leases", sweep.run_once, settings.leases.sweep_s),
        Duty("timers", timers.run_once, TIMERS_EVERY_S),
        Duty("housekeeping", Housekeeping(store, outside.storage, publisher, timers, clock).run_once, HOUSEKEEPING_EVERY_S),
    )
    return Core(services, scheduler, leases, publisher, registry, table, gate, duties, outside)


def _sources(book: ProfileBook, outside: Outside, settings: DispatchSettings) -> Sources:
    run = outside.ids.new("run", outside.clock.now())
    rules = Rules(settings.inputs.limits, settings.jobs.ttl_s, settings.jobs.default_profile, run)
    return Sources(book, ServerFiles([str(root) for root in settings.inputs.allowed_roots]), rules)


def _watermarks(settings: DispatchSettings) -> Watermarks:
    storage = settings.storage
    return Watermarks(storage.warn_free, storage.grants_free, storage.uploads_free, storage.plenty_bytes)


# --- the process


class Unusable(ValueError):
    """Settings that are well-formed but cannot be used here; the text says what to do."""


def load_storage(adapter: str, root: str) -> StorageProvider:
    """The storage by its entry point. Raises Unusable naming those there are."""
    points = importlib.metadata.entry_points(group="reelyard.storage")
    if adapter not in points.names:
        raise Unusable(f"storage.adapter: there is no {adapter!r}; known are {', '.join(sorted(points.names))}")
    made: StorageProvider = points[adapter].load()(root)
    return made


def lock(data: Path) -> int:
    """Only one server works in a data directory; the lock ends with the process. Raises Unusable."""
    descriptor = os.open(data / "dispatch.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Unusable(f"{data} is in use by another dispatch server; stop it, or give another --data") from None
    return descriptor


def keep_secret(directory: Path, name: str, fresh: Callable[[], str]) -> str:
    """The secret of that name, made at the first start, readable by its owner alone."""
    path = directory / name
    if path.exists():
        kept = path.read_text(encoding="ascii").strip()
        if not kept:
            raise Unusable(f"{path} is empty; restore it, or remove it to have a new one made")
        return kept
    secret = fresh()
    temporary = directory / f".{name}.new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secret + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    _sync(directory)
    return secret


def _sync(directory: Path) -> None:
    """A rename survives a power cut only once its directory is on the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def load_secrets(data: Path, ids: Ids) -> Secrets:
    directory = data / "secrets"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Secrets(
        signing=keep_secret(directory, "signing.key", ids.secret).encode(),
        admin=keep_secret(directory, "admin.key", lambda: f"rk_{ids.secret()}"),
        registration=keep_secret(directory, "registration.token", lambda: f"rt_{ids.secret()}"),
    )


def die(reason: str) -> None:
    """The state in memory can no longer be trusted: stop at once, the database is the record."""
    log.critical("fatal", reason=reason)
    sys.stderr.flush()
    os._exit(EXIT_FATAL)


def prepare(settings: DispatchSettings) -> tuple[Core, SqliteStore]:
    """Directories, secrets, the newest schema, then the services. Nothing runs yet."""
    data = settings.data.absolute()
    root = (settings.storage.root or data / "storage").absolute()
    for directory in (data, root):
        directory.mkdir(parents=True, exist_ok=True)
    lock(data)
    ids = RandomIds()
    secrets = load_secrets(data, ids)
    database = str(data / "dispatch.db")
    connection = connect(f"sqlite:///{database}")
    migrate(connection)
    connection.close()
    bus = CommitBus()
    store = SqliteStore(database, [bus], die)
    storage = load_storage(settings.storage.adapter, str(root))
    profiles = load_profiles([data / "profiles"] if (data / "profiles").is_dir() else [])
    wanted, known = settings.jobs.default_profile, sorted(profile.name for profile in profiles)
    if wanted not in known:
        raise Unusable(f"jobs.default_profile: there is no profile {wanted!r}; known are {', '.join(known)}")
    outside = Outside(store, bus, storage, SystemClock(), ids, SystemChance(), profiles, secrets)
    return assemble(outside, settings), store


async def serve(settings: DispatchSettings) -> None:
    """Run until SIGTERM or SIGINT. The address is written to `<data>/dispatch.url`, whole, once it listens."""
    core, store = prepare(settings)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: die(str(context.get("exception") or context["message"])))
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    store.start()
    try:
        await core.load()
        _spare_the_collector()
        async with asyncio.TaskGroup() as tasks:
            loops = [tasks.create_task(core.scheduler.run(), name="scheduler")]
            loops += [tasks.create_task(duty.run(), name=duty.name) for duty in core.duties]
            await _listen(core, settings, stop, partial(_cancel, loops[0]))
            for task in loops:
                task.cancel()
    finally:
        await store.close()
    log.info("stopped")


def _spare_the_collector() -> None:
    """What lives on is left alone, and the young are looked at more seldom than after Python's 700 objects."""
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 10, 10)


async def _listen(core: Core, settings: DispatchSettings, stop: asyncio.Event, end_polls: Callable[[], None]) -> None:
    host, _, port = settings.listen.rpartition(":")
    limits = Limits(max_upload_bytes=settings.inputs.limits.max_bytes)
    running = runner(application(core.services, limits, at_shutdown=[end_polls]))
    await running.setup()
    site = web.TCPSite(running, host.strip("[]") or "127.0.0.1", int(port), reuse_address=True)
    await site.start()
    bound_host, bound_port, *_ = running.addresses[0]
    url = f"http://{f'[{bound_host}]' if ':' in bound_host else bound_host}:{bound_port}"
    _write_whole(settings.data / "dispatch.url", url + "\n")
    log.info("listening", url=url, data=str(settings.data))
    await stop.wait()
    log.info("stopping")
    await running.cleanup()


def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()


def _write_whole(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text, encoding="ascii")
    temporary.rename(path)


def configure_logging(level: str) -> None:
    """Lines for people on a terminal, JSON elsewhere; always on stderr."""
    is_terminal = sys.stderr.isatty()
    console = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    ending = [console] if is_terminal else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *ending,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def main(arguments: dict[str, object], toml: Path | None) -> int:
    """The exit code: 0 stopped as asked, 1 the machine refuses (port, disk), 2 unusable settings, 70 a fault of ours."""
    try:
        given = {name: value for name, value in arguments.items() if value is not None}
        settings = read_settings(DispatchSettings, given, toml=toml, environ=os.environ)
        configure_logging(settings.log_level)
        asyncio.run(serve(settings))
    except (SettingsProblem, BadProfile, Unusable) as wrong:
        return _tell(str(wrong), 2)
    except (OSError, OperationalError, ExceptionGroup) as fault:
        cause = _cause(fault)
        if isinstance(cause, OSError | OperationalError):
            return _tell(str(cause.orig if isinstance(cause, OperationalError) else cause), 1)
        log.critical("fatal", exc_info=fault)
        return EXIT_FATAL
    return 0


def _cause(fault: Exception) -> Exception:
    return _cause(fault.exceptions[0]) if isinstance(fault, ExceptionGroup) else fault


def _tell(problem: str, code: int) -> int:
    """The one line a user sees instead of a traceback."""
    sys.stderr.write(f"dispatch: {problem}\n")
    return code
