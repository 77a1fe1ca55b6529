"""Settings become parts of an engine. Only names stand here, no decisions."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import aiohttp

from config.engine import EngineSettings
from engine.clock import SystemClock, new_boot_id
from engine.core.messages import Policy, Setup
from engine.core.pressure import Thresholds
from engine.core.slot_specs import SlotSpecProblem, planned
from engine.core.slots import SlotPlan
from engine.ports import LocalQueue
from engine.shell.broker import BrokerPlace, LibraryMissing, Line, line_of
from engine.shell.client import HttpDispatch
from engine.shell.machine import read_machine
from engine.shell.process import Tools
from engine.shell.rtmp_door import Listening
from engine.shell.sandbox import Sandboxing
from engine.shell.sandbox_check import SandboxCheck, SandboxUnfit
from protocol.capabilities import Capabilities
from protocol.plugins import Resource


class Unusable(Exception):
    """The engine cannot start as it was told to; the text says why and what to do."""


def broker_line(settings: EngineSettings, client: HttpDispatch, queue: LocalQueue, written: Iterable[int]) -> Line:
    try:
        return line_of(
            BrokerPlace(**dict(settings.nats), name=settings.name), client, queue, SystemClock(), written, client.led_by
        )
    except LibraryMissing as missing:
        raise Unusable(str(missing)) from missing


async def sandboxing_of(settings: EngineSettings, clock: SystemClock) -> Sandboxing:
    """The tier in force, proven now. Raises Unusable where the one asked for does not hold."""
    scratch = settings.data.absolute() / "scratch"
    scratch.mkdir(parents=True, mode=0o700, exist_ok=True)
    check = SandboxCheck(lambda tried: Tools(clock, settings.nice, confinement=tried.of), scratch)
    try:
        return await check.choose(None if settings.sandbox == "auto" else int(settings.sandbox))
    except SandboxUnfit as unfit:
        raise Unusable(str(unfit)) from unfit


def open_session() -> aiohttp.ClientSession:
    """For calls and transfers alike: no proxies, no cookies, as many connections as are in use."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60), cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
    )


def setup_of(settings: EngineSettings, slots: SlotPlan, capabilities: Capabilities) -> Setup:
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


def listening_of(settings: EngineSettings) -> Listening:
    return Listening(settings.live_listen, settings.ports_of_streams, settings.live_address)


def thresholds_of(settings: EngineSettings) -> Thresholds:
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


def slots_of(settings: EngineSettings) -> SlotPlan:
    try:
        return planned(settings.slots, read_machine(), settings.light_slots)
    except SlotSpecProblem as problem:
        raise Unusable(f"slots: {problem}") from problem


def gpu_names() -> dict[str, str]:
    return {gpu.index: gpu.name for gpu in read_machine().gpus}


def _token(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except OSError as fault:
        raise Unusable(f"the token file {path} cannot be read: {fault.strerror}") from fault
