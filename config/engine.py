"""The engine's settings. `config.sources` reads them: a TOML file < the environment (`REELYARD_ENGINE_*`) < arguments."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from config.nats import NatsConnection
from protocol.capabilities import Tag

PREFIX = "REELYARD_ENGINE_"

PublicKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]{43}=$")]
Percent = Annotated[float, Field(gt=0, le=100)]
SlotCount = Annotated[int, Field(ge=1, le=1024)]
SlotSpecs = Annotated[tuple[str, ...], Field(min_length=1, max_length=1024)]


ServerUrl = Annotated[str, Field(pattern=r"^https?://[^/@\s]+(/[^\s?#]*)?$")]
ServerUrls = Annotated[tuple[ServerUrl, ...], Field(min_length=1, max_length=64)]
SharedPath = Annotated[str, Field(pattern=r"^/[^=]*=/[^=]*$", max_length=2000)]


class EngineSettings(BaseSettings):
    """What an engine can be told. Only `server` has no default. Times are seconds."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True)

    server: Annotated[
        ServerUrl | ServerUrls, Field(description="Where dispatch listens; several servers of one farm are asked in turn.")
    ]
    data: Annotated[Path, Field(description="Queue, identity and scratch files.")] = Path("reelyard-engine-data")
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,62}$")] = Field(default_factory=lambda: host_name())
    token_file: Annotated[Path | None, Field(description="Holds the registration token.")] = None
    slots: Annotated[SlotCount | SlotSpecs | None, Field(description="How many, or which; by default one per 4 cores.")] = None
    light_slots: Annotated[int, Field(ge=1, le=1024)] = 2
    tags: frozenset[Tag] = frozenset()
    drain_timeout_s: Annotated[float, Field(ge=0)] = 600.0
    progress_s: Annotated[float, Field(gt=0, description="Progress is told at most this often.")] = 2.0
    reattach_s: Annotated[float, Field(ge=0, description="A tool goes on for so long without its engine: a lease.")] = 60.0
    max_starts: Annotated[int, Field(ge=1, description="An attempt found unfinished at so many starts is given up.")] = 3
    survey_s: Annotated[float, Field(gt=0, description="Capabilities are proven anew this often.")] = 600.0
    busy_cpu_percent: Annotated[Percent, Field(description="No work is taken while others use more. 100: never busy.")] = 90.0
    busy_memory_percent: Percent = 90.0
    busy_io_wait_percent: Percent = 90.0
    busy_gpu_percent: Annotated[Percent, Field(description="For each GPU; only its own slots take no work.")] = 90.0
    busy_gpu_memory_percent: Percent = 90.0
    busy_gpu_encoder_percent: Percent = 90.0
    disk_warn_percent: Annotated[float, Field(ge=0, le=95, description="With less free space a warning is logged.")] = 15.0
    disk_watermark_percent: Annotated[float, Field(ge=0, le=90, description="With less free space no work is taken.")] = 10.0
    disk_plenty_bytes: Annotated[int, Field(ge=0, description="This much free space is enough.")] = 50 << 30
    release_keys: Annotated[
        tuple[PublicKey, ...], Field(description="Ed25519 keys (base64) whose releases are installed; none: no self-update.")
    ] = ()
    release_check_s: Annotated[float, Field(gt=0, description="How often dispatch is asked for a release.")] = 3600.0
    plugins: Annotated[
        tuple[str, ...], Field(description="Names of transcoder plugins: where several do one thing, the first here does it.")
    ] = ()
    shared_paths: Annotated[
        tuple[SharedPath, ...], Field(description="Disks that dispatch sees too: `/there=/here`. Originals are read in place.")
    ] = ()
    share_local: Annotated[bool, Field(description="Read originals in place where dispatch runs on this machine.")] = True
    live_listen: Annotated[str, Field(min_length=1, max_length=255, description="Where publishers of live streams connect.")] = (
        "127.0.0.1"
    )
    live_ports: Annotated[
        str, Field(pattern=r"^\d{1,5}(-\d{1,5})?$", description="One for each stream: `1935-1944`, or 0 for any that is free.")
    ] = "0"
    live_address: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9.:\-]{0,255}$", description="The name publishers are told, where it is another.")
    ] = ""
    nice: Annotated[int, Field(ge=0, le=19, description="Added to the nice level of tools.")] = 5
    sandbox: Annotated[
        str, Field(pattern="^(auto|[0-3])$", description="The tier tools run at: 0 to 3, or auto for the best that holds here.")
    ] = "auto"
    nats: NatsConnection = NatsConnection()

    @field_validator("sandbox", mode="before")
    @classmethod
    def _as_word(cls, value: object) -> object:
        """A file may hold the tier as a number."""
        return str(value) if type(value) is int else value

    @field_validator("live_ports")
    @classmethod
    def _ascends(cls, value: str) -> str:
        first, last = _ends(value)
        if not first <= last <= 65_535:
            raise ValueError("give one port, or a range that ascends")
        return value

    @property
    def ports_of_streams(self) -> range:
        first, last = _ends(self.live_ports)
        return range(first, last + 1)

    @property
    def servers(self) -> tuple[str, ...]:
        return (self.server,) if isinstance(self.server, str) else self.server

    @field_validator("server", mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        """Words apart by spaces, as the environment has them; a lone address is no list."""
        words = value.split() if isinstance(value, str) else value
        return words[0] if isinstance(words, Sequence) and len(words) == 1 else words

    @field_validator("slots", mode="before")
    @classmethod
    def _as_written(cls, value: object) -> object:
        """Words apart by spaces, as the environment and the arguments have them; a lone number is a count."""
        words = value.split() if isinstance(value, str) else value
        if isinstance(words, Sequence) and len(words) == 1 and str(words[0]).isdecimal():
            return int(words[0])
        return words


def _ends(ports: str) -> tuple[int, int]:
    first, _, last = ports.partition("-")
    return int(first), int(last or first)


def host_name() -> str:
    """This machine's name, in the letters an engine's name may have."""
    kept = "".join(
        letter if letter.isascii() and (letter.isalnum() or letter in "-_.") else "-" for letter in socket.gethostname()
    )
    return kept.lstrip("-_.")[:63] or "engine"
