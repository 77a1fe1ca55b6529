"""What an engine can do and how busy it is."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from protocol.base import Bytes, Identifier, Message, Seconds, Token

Capability = Annotated[str, Field(pattern=r"^[a-z0-9_]+:[A-Za-z0-9_.\-]{1,60}$")]
"""`<kind>:<name>`, such as `operation:transcode`, `encoder:libx264`, `filter:zscale`."""

ENCRYPTS = "packaging:encryption"
"""The capability of an engine that packages and has proven that it can encrypt, and read what it encrypted."""

Tag = Annotated[str, Field(pattern=r"^[a-z0-9_]+:[A-Za-z0-9_.\-]{1,60}$")]


class PluginDescription(Message):
    """A loaded plugin; `problem` tells why one that failed to load was left out.

    `needs_tool`: nothing is broken, the tool it drives is not installed here.
    """

    name: str
    version: str
    operations: tuple[str, ...] = ()
    capabilities: tuple[Capability, ...] = ()
    supported_codecs: tuple[str, ...] = ()
    problem: str | None = None
    build: str = ""
    """Equal where its tools make the same bytes of the same input: a digest of their versions and build; empty: unknown."""
    needs_tool: bool = False


class Device(Message):
    """A GPU, by its number in the driver, with the encoders and decoders proven on it. `max_sessions` is learnt from failures.

    `fingerprint` is equal where its encoders make the same bytes of the same frames: the engine's own, the model, the
    driver; empty where one of them is not known.
    """

    index: str
    name: str
    memory_bytes: Bytes = 0
    encoders: tuple[str, ...] = ()
    decoders: tuple[str, ...] = ()
    max_sessions: int | None = None
    fingerprint: str = ""


SLOWEST_FPS, FASTEST_FPS = 0.001, 1_000_000.0
"""No encoder is slower or faster; bounded so that speeds can be weighed and compared."""

MOST_SPEEDS = 64
"""So many speeds an engine tells at the most: those it measured last."""


class EncoderSpeed(Message):
    """How fast ladders were encoded here: frames of the source a second, on one slot, averaged over the latest encodes.

    One process makes a whole ladder: `encoder` and `height` are those of its tallest rendition.
    """

    encoder: str
    height: Annotated[int, Field(ge=1)]
    fps: Annotated[float, Field(ge=SLOWEST_FPS, le=FASTEST_FPS)]


class Capabilities(Message):
    """Proven, not assumed: each encoder listed encoded something on this engine."""

    provided: frozenset[Capability] = frozenset()
    supported_codecs: tuple[str, ...] = ()
    hardware_acceleration: tuple[str, ...] = ()
    plugins: tuple[PluginDescription, ...] = ()
    sandbox_tier: int = 1
    devices: tuple[Device, ...] = ()
    speeds: Annotated[tuple[EncoderSpeed, ...], Field(max_length=MOST_SPEEDS)] = ()
    fingerprint: str = ""
    """Equal on engines whose software encoders make the same bytes of the same frames: versions and build, not the
    machine. Those of a GPU have that of their device."""


class SlotKind(StrEnum):
    """A task takes a slot of exactly one kind."""

    CPU = "cpu"
    GPU = "gpu"
    LIGHT = "light"


class Slots(Message):
    """Room for tasks. `encoding`, `gpu` and `light` are totals, the `free_` ones what is unused now."""

    encoding: Annotated[int, Field(ge=0, le=1024)]
    light: Annotated[int, Field(ge=0, le=1024)]
    free_encoding: Annotated[int, Field(ge=0, le=1024)]
    free_light: Annotated[int, Field(ge=0, le=1024)]
    gpu: Annotated[int, Field(ge=0, le=1024)] = 0
    free_gpu: Annotated[int, Field(ge=0, le=1024)] = 0


class GpuLoad(Message):
    """One GPU. Percentages are 0 to 100; `sessions` are encoder sessions open now."""

    index: str
    name: str = ""
    percent: float = 0.0
    memory_percent: float = 0.0
    encoder_percent: float = 0.0
    sessions: int = 0
    memory_bytes: Bytes = 0


class Load(Message):
    """Percentages are 0 to 100, of the whole machine. `busy` names what is over its threshold, such as `cpu` or `gpu:0`."""

    cpu_percent: float = 0.0
    memory_percent: float = 0.0
    disk_free_bytes: Bytes = 0
    disk_free_percent: float = 100.0
    io_wait_percent: float = 0.0
    gpus: tuple[GpuLoad, ...] = ()
    busy: tuple[str, ...] = ()


class HeldTask(Message):
    task_id: Identifier
    token: Token


class RegisterRequest(Message):
    """The first words of every start. `engine_id` and the credential in the header are given by a known engine."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,62}$")]
    hostname: Annotated[str, Field(max_length=253)]
    addresses: tuple[str, ...] = ()
    boot_id: Annotated[str, Field(min_length=8, max_length=64)]
    version: str
    capabilities: Capabilities
    tags: frozenset[Tag] = frozenset()
    slots: Slots
    held: tuple[HeldTask, ...] = ()
    engine_id: Identifier | None = None


class Kept(Message):
    """The verdict on one held attempt: keep working on it, or drop it."""

    task_id: Identifier
    token: Token
    keep: bool
    lease_s: Seconds = 0.0


class RegisterReply(Message):
    """`credential` is sent once, to a new engine; a known one keeps its own and gets None."""

    engine_id: Identifier
    credential: str | None
    heartbeat_s: Seconds
    lease_s: Seconds
    held: tuple[Kept, ...] = ()
