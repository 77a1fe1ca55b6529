"""The process: directories and locks, loops, signals, logs and exit codes."""

from __future__ import annotations

import asyncio
import gc
import importlib.metadata
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog
from aiohttp import web
from sqlalchemy.exc import OperationalError

from config.dispatch import DispatchSettings, Storage
from config.profiles import BadProfile, load_profiles
from config.sections import Section
from config.sources import SettingsProblem, read_settings
from config.supervision import Supervision
from dispatch.api.server import application, runner
from dispatch.api.wiring import Limits
from dispatch.app.assembly import Core, Outside, assemble
from dispatch.app.buckets import load_buckets
from dispatch.app.cluster import server_of
from dispatch.app.database import OpenedStore, Opening, open_store
from dispatch.app.limits import windows_of
from dispatch.app.locking import lock
from dispatch.app.secrets import Unusable, load_secrets
from dispatch.clock import RandomIds, SystemChance, SystemClock
from dispatch.events.bus import CommitBus
from protocol.storage import StorageProvider

log = structlog.get_logger("dispatch")
YOUNG_OBJECTS = 50_000
"""A batch of a thousand jobs makes so many records, none of them in a cycle: walking them took a fifth of all CPU."""

EXIT_FATAL = 70  # EX_SOFTWARE: the next start recovers from the database


@dataclass(frozen=True, slots=True)
class Life:
    """What ends a run: `stop` is asked for from outside, `end_polls` answers the requests that wait for work."""

    stop: asyncio.Event
    supervision: Supervision
    end_polls: Callable[[], None]


def load_storage(settings: Storage, root: str) -> StorageProvider:
    """The storage by its entry point, made of its own section of the settings, or else of `root`. Raises Unusable."""
    points, adapter = importlib.metadata.entry_points(group="reelyard.storage"), settings.adapter
    if adapter not in points.names:
        raise Unusable(f"storage.adapter: there is no {adapter!r}; known are {', '.join(sorted(points.names))}")
    section = getattr(settings, adapter, None)
    try:
        made: StorageProvider = points[adapter].load()(section.model_dump() if isinstance(section, Section) else root)
    except ModuleNotFoundError as missing:
        raise Unusable(f"storage.adapter: {adapter!r} needs {missing.name}; pip install 'reelyard[{adapter}]'") from None
    except ValueError as wrong:
        raise Unusable(str(wrong)) from wrong
    return made


def die(reason: str) -> None:
    """The state in memory can no longer be trusted: stop at once, the database is the record."""
    log.critical("fatal", reason=reason)
    sys.stderr.flush()
    os._exit(EXIT_FATAL)


def prepare(settings: DispatchSettings) -> tuple[Core, OpenedStore]:
    """Directories, secrets, the newest schema, then the services. Nothing runs yet."""
    data = settings.data.absolute()
    root = (settings.storage.root or data / "storage").absolute()
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    root.mkdir(parents=True, exist_ok=True)
    lock(data)
    ids, clock = RandomIds(), SystemClock()
    secrets = load_secrets(data, ids, settings.cluster.secrets)
    server = server_of(data, settings, ids, clock)
    bus = CommitBus()
    store = open_store(Opening(settings, data, server, die), [bus])
    storage = load_storage(settings.storage, str(root))
    profiles = load_profiles([data / "profiles"] if (data / "profiles").is_dir() else [])
    wanted, known = settings.jobs.default_profile, sorted(profile.name for profile in profiles)
    if wanted not in known:
        raise Unusable(f"jobs.default_profile: there is no profile {wanted!r}; known are {', '.join(known)}")
    buckets = load_buckets(settings)
    made = (store, bus, storage, clock, ids, SystemChance(), profiles, secrets)
    outside = Outside(*made, windows=windows_of(settings.database, clock), buckets=buckets, server=server)
    return assemble(outside, settings), store


async def serve(settings: DispatchSettings) -> None:
    """Run until SIGTERM or SIGINT. The address is written to `<data>/dispatch.url`, whole, once it listens."""
    core, store = prepare(settings)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: die(str(context.get("exception") or context["message"])))
    stop, supervision = asyncio.Event(), Supervision(os.environ, os.getpid())
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    store.start()
    try:
        await core.load()
        async with supervision.watched(), asyncio.TaskGroup() as tasks:
            loops = tasks.create_task(core.run(), name="loops")
            await core.cluster.leadership.settled.wait()
            _spare_the_collector()
            await _listen(core, settings, Life(stop, supervision, core.cluster.leadership.stop))
            await core.cluster.leadership.stopped.wait()
            loops.cancel()
    finally:
        await store.close()
    log.info("stopped")


def _spare_the_collector() -> None:
    """What lives on is left alone, and the young are looked at more seldom than after Python's 700 objects."""
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 10, 10)


async def _listen(core: Core, settings: DispatchSettings, life: Life) -> None:
    host, _, port = settings.listen.rpartition(":")
    at_shutdown = [life.end_polls, core.services.care.validations.close]
    running = runner(application(core.services, limits_of(settings), at_shutdown=at_shutdown))
    await running.setup()
    site = web.TCPSite(running, host.strip("[]") or "127.0.0.1", int(port), reuse_address=True)
    try:
        await site.start()
    except OSError as fault:
        why = os.strerror(fault.errno) if fault.errno else str(fault)
        raise OSError(f"cannot listen on {settings.listen}: {why}; stop what does, or give another --listen") from fault
    bound_host, bound_port, *_ = running.addresses[0]
    url = f"http://{f'[{bound_host}]' if ':' in bound_host else bound_host}:{bound_port}"
    _write_whole(settings.data / "dispatch.url", url + "\n")
    if not core.cluster.lead.me.url:
        core.cluster.lead.listens_at(url)
    log.info("listening", url=url, data=str(settings.data))
    life.supervision.started(f"listening on {url}")
    await life.stop.wait()
    life.supervision.stopping("finishing requests")
    log.info("stopping")
    await running.cleanup()


def limits_of(settings: DispatchSettings) -> Limits:
    """What the settings say of the HTTP layer; the spans they leave out stand in `Limits`."""
    api = settings.api
    return Limits(
        max_upload_bytes=settings.inputs.limits.max_bytes,
        first_request_s=api.first_request_s,
        min_body_rate=api.min_body_rate,
        calls_per_s=api.calls_per_s,
        tenant_calls_per_s=api.tenant_calls_per_s,
        failures_free=api.wrong_keys,
        cors_origins=api.cors_origins,
        playback_origins=api.playback_origins,
        trusted_proxies=api.trusted_proxies,
        streams_per_tenant=api.streams_per_tenant,
        open_metrics=api.open_metrics,
    )


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
