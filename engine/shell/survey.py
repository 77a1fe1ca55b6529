"""Proves what this machine can do, by running every plugin's probes; unchanged tools are not probed twice."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import structlog
from pydantic import ValidationError

from engine.core.slots import Slot
from engine.shell.loader import Loaded
from engine.shell.process import Tools
from protocol.base import Message
from protocol.capabilities import Capabilities, Device, PluginDescription
from protocol.errors import ErrorCode, ReelyardError
from protocol.plugins import DeviceDecoder, DeviceUser, Invocation, Outcome, TranscoderPlugin

log = structlog.get_logger()

NVIDIA_VERSION, NVIDIA_GPUS = Path("/proc/driver/nvidia/version"), Path("/proc/driver/nvidia/gpus")


class Proven(Message):
    """What probing a plugin gave, and a fingerprint of what was probed. `devices` are encoders by GPU, `decoders` likewise."""

    fingerprint: str
    description: PluginDescription
    devices: dict[str, tuple[str, ...]] = {}
    decoders: dict[str, tuple[str, ...]] = {}


class Cache(Message):
    plugins: dict[str, Proven] = {}


@dataclass(frozen=True, slots=True)
class ToolSurvey:
    """The Survey port. `scratch` is where probes may write, `cache` the file that spares the next start the probing.

    `sandbox_tier` is the one at which `tools` runs them. `gpus` are a slot on each GPU, by the name of its device, and
    `names` what the kernel calls those.
    """

    loaded: Loaded
    tools: Tools
    scratch: Path
    cache: Path
    software_version: str
    sandbox_tier: int = 1
    gpus: Mapping[str, Slot] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)

    async def at_start(self) -> Capabilities:
        """From the cache where the tools are those that were probed; otherwise by probing."""
        return await self._survey(_read_cache(self.cache))

    async def run_once(self) -> Capabilities:
        """Everything proven anew."""
        return await self._survey({})

    async def _survey(self, known: Mapping[str, Proven]) -> Capabilities:
        proven = {plugin.name: await self._prove(plugin, known.get(plugin.name)) for plugin in self.loaded.plugins}
        kept = {name: one for name, one in proven.items() if one.description.problem is None}
        _write(self.cache, Cache(plugins=kept).model_dump_json())
        found = capabilities_of([*(one.description for one in proven.values()), *self.loaded.left_out], self.sandbox_tier)
        decoders = [one.decoders for one in proven.values()]
        return with_devices(found, [one.devices for one in proven.values()], self._models(), decoders)

    def _models(self) -> Mapping[str, Model]:
        driver = driver_version(_driver().decode(errors="replace")) if self.gpus else ""
        return {device: Model(self.names.get(device, ""), driver if device.isdecimal() else "") for device in self.gpus}

    async def _prove(self, plugin: TranscoderPlugin, known: Proven | None) -> Proven:
        with tempfile.TemporaryDirectory(dir=self.scratch, prefix="probe-") as directory:
            try:
                probes = plugin.probes(directory)
                on_gpus = _device_probes(plugin, self.gpus)
                every = [*probes, *(probe for trials in on_gpus.values() for probe in trials)]
                fingerprint = self._fingerprint(every, directory, self.loaded.operations_of(plugin))
                if known is not None and known.fingerprint == fingerprint:
                    return known
                outcomes = [await self._probe(probe, directory) for probe in probes]
                description = _restricted(plugin.describe(outcomes), self.loaded.operations_of(plugin))
                devices, decoders = await self._prove_devices(plugin, on_gpus, directory)
                return Proven(fingerprint=fingerprint, description=description, devices=devices, decoders=decoders)
            except ReelyardError as error:
                log.warning("plugin_without_tools", plugin=plugin.name, code=error.code, problem=error.message)
                return _unproven(plugin, error.message, needs_tool=error.code is ErrorCode.TOOL_MISSING)
            except Exception as fault:
                log.exception("plugin_failed", plugin=plugin.name)
                return _unproven(plugin, f"{type(fault).__name__}: {fault}"[:500])

    async def _prove_devices(
        self, plugin: TranscoderPlugin, trials: Mapping[str, Sequence[Invocation]], directory: str
    ) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
        """Encoders and decoders, by GPU."""
        encoders: dict[str, tuple[str, ...]] = {}
        decoders: dict[str, tuple[str, ...]] = {}
        if not isinstance(plugin, DeviceUser):
            return encoders, decoders
        for device, probes in trials.items():
            outcomes = [await self._probe(probe, directory, self.gpus[device]) for probe in probes]
            encoders[device] = plugin.device_encoders(outcomes)
            decoders[device] = plugin.device_decoders(outcomes) if isinstance(plugin, DeviceDecoder) else ()
        return encoders, decoders

    async def _probe(self, probe: Invocation, directory: str, slot: Slot | None = None) -> Outcome:
        return await self.tools.run(probe, directory, lambda line: None, slot)

    def _fingerprint(self, probes: Sequence[Invocation], directory: str, operations: frozenset[str]) -> str:
        """Of the probes, of each tool's file (path, size and time of change), and of what it may and is to do here."""
        digest = hashlib.sha256(f"{self.software_version} {self.sandbox_tier} {sorted(operations)}".encode())
        digest.update(_driver() if self.gpus else b"")
        for probe in probes:
            file = os.stat(probe.argv[0])
            words = [word.replace(directory, ".") for word in probe.argv]
            digest.update(repr((probe.name, words, file.st_size, file.st_mtime_ns)).encode())
        return digest.hexdigest()


def capabilities_of(descriptions: Sequence[PluginDescription], sandbox_tier: int = 1) -> Capabilities:
    """The union of what the plugins proved; each operation is a capability too, and each sandbox tier up to the one in force."""
    operations = {f"operation:{operation}" for description in descriptions for operation in description.operations}
    provided = {capability for description in descriptions for capability in description.capabilities}
    sandboxes = {f"sandbox:{tier}" for tier in range(1, sandbox_tier + 1)}
    codecs = dict.fromkeys(codec for description in descriptions for codec in description.supported_codecs)
    return Capabilities(
        provided=frozenset(operations | provided | sandboxes),
        supported_codecs=tuple(codecs),
        plugins=tuple(descriptions),
        sandbox_tier=sandbox_tier,
        fingerprint=fingerprint_of(descriptions),
    )


def fingerprint_of(descriptions: Sequence[PluginDescription]) -> str:
    """Of the builds of all tools that make bytes, whatever machine they run on; empty without any."""
    builds = sorted((one.name, one.build) for one in descriptions if one.build)
    return hashlib.sha256(repr(builds).encode()).hexdigest()[:16] if builds else ""


@dataclass(frozen=True, slots=True)
class Model:
    """The model of a GPU and the version of its driver, as far as they are known."""

    name: str = ""
    driver: str = ""


def driver_version(told: str) -> str:
    """The number in the first line of what the NVIDIA driver tells of itself."""
    found = re.search(r"\s(\d+(?:\.\d+){1,3})\s", told.partition("\n")[0] + " ")
    return found.group(1) if found else ""


ByDevice = Mapping[str, tuple[str, ...]]


def with_devices(
    found: Capabilities,
    proven: Sequence[ByDevice],
    models: Mapping[str, Model] = MappingProxyType({}),
    decoders: Sequence[ByDevice] = (),
) -> Capabilities:
    """With the encoders and decoders that were proven on GPUs. One on which no encoder works any more is not told of."""
    encoders, decoding = _together(proven), _together(decoders)
    devices = [
        _device(index, names, models.get(index, Model()), found).model_copy(update={"decoders": decoding.get(index, ())})
        for index, names in encoders.items()
        if names
    ]
    every = {name for device in devices for name in device.encoders}
    proven_decoders = {f"decoder:{name}" for device in devices for name in device.decoders}
    return found.model_copy(
        update={
            "provided": found.provided | {f"encoder:{name}" for name in every} | proven_decoders,
            "devices": tuple(devices),
            "hardware_acceleration": tuple(sorted({name.rpartition("_")[2] for name in every})),
        }
    )


def _together(proven: Sequence[ByDevice]) -> dict[str, tuple[str, ...]]:
    """What all plugins proved, by GPU."""
    names: dict[str, dict[str, None]] = {}
    for by_device in proven:
        for device, found in by_device.items():
            names.setdefault(device, {}).update(dict.fromkeys(found))
    return {device: tuple(found) for device, found in names.items()}


def _device(index: str, encoders: tuple[str, ...], model: Model, found: Capabilities) -> Device:
    """Other models and other drivers make other bytes with the same tool."""
    known = (found.fingerprint, model.name, model.driver)
    fingerprint = hashlib.sha256(repr(known).encode()).hexdigest()[:16] if all(known) else ""
    return Device(index=index, name=model.name or f"GPU {index}", encoders=encoders, fingerprint=fingerprint)


def _device_probes(plugin: TranscoderPlugin, gpus: Mapping[str, Slot]) -> Mapping[str, Sequence[Invocation]]:
    return {device: plugin.device_probes(device) for device in gpus} if isinstance(plugin, DeviceUser) else {}


def _driver() -> bytes:
    """Which NVIDIA driver runs and which GPUs it has; without it, nothing."""
    try:
        return NVIDIA_VERSION.read_bytes() + repr(sorted(os.listdir(NVIDIA_GPUS))).encode()
    except OSError:
        return b""


def _restricted(description: PluginDescription, operations: frozenset[str]) -> PluginDescription:
    """Without the operations that another plugin does here."""
    others = {f"operation:{operation}" for operation in description.operations if operation not in operations}
    return description.model_copy(
        update={
            "operations": tuple(one for one in description.operations if one in operations),
            "capabilities": tuple(one for one in description.capabilities if one not in others),
        }
    )


def _unproven(plugin: TranscoderPlugin, problem: str, *, needs_tool: bool = False) -> Proven:
    description = PluginDescription(name=plugin.name, version="", problem=problem, needs_tool=needs_tool)
    return Proven(fingerprint="", description=description)


def _read_cache(path: Path) -> Mapping[str, Proven]:
    try:
        return Cache.model_validate_json(path.read_bytes()).plugins
    except (FileNotFoundError, ValidationError):
        return {}


def _write(path: Path, text: str) -> None:
    beside = path.with_suffix(".tmp")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
