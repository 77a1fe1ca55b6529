"""NVIDIA GPUs, by the driver's management library (NVML). No driver is the normal case and costs one failed load."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeVar

from plugins.monitors.processes import OwnTree
from protocol.plugins import Reading, Resource, Surroundings

LIBRARY = "libnvidia-ml.so.1"
"""What nvidia-ml-py loads. Tried first: without it the module's 8 ms and 3 MB are not spent."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Users:
    """Processes with a context on one GPU, and the bytes each holds there (0 where the driver does not tell)."""

    bytes_by_pid: dict[int, int]
    own: frozenset[int]

    @property
    def are_all_own(self) -> bool:
        return bool(self.bytes_by_pid) and self.own >= self.bytes_by_pid.keys()


class NvidiaMonitor:
    """Load, memory and encoder of each GPU, and our tools' share. A GPU that the driver has lost is not told of."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._tree = OwnTree()
        self._nvml = _nvml()
        self._sampled_at: dict[int, int] = {}
        self._is_open = False
        try:
            self._open()
        except self._nvml.NVMLError as fault:
            raise LookupError(f"the NVIDIA driver does not answer: {fault}") from fault

    def read(self) -> Sequence[Reading]:
        """Nothing while the whole driver is away. Raises OSError when it answers neither yes nor no."""
        try:
            self._open()
            count = self._nvml.nvmlDeviceGetCount()
            return [reading for index in range(count) for reading in self._device(index)]
        except self._nvml.NVMLError as fault:
            if fault.value not in self._away():
                raise OSError(f"the NVIDIA driver cannot be asked: {fault}") from fault
            self._is_open = False
            return []

    def _open(self) -> None:
        if not self._is_open:
            self._nvml.nvmlInit()
            self._is_open = True

    def _away(self) -> frozenset[int]:
        """Answers of a driver that was unloaded, or replaced by one that this library does not fit."""
        nvml = self._nvml
        return frozenset(
            {nvml.NVML_ERROR_UNINITIALIZED, nvml.NVML_ERROR_DRIVER_NOT_LOADED, nvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH}
        )

    def _lost(self) -> frozenset[int]:
        """Answers about one GPU that is not there any more."""
        nvml = self._nvml
        return frozenset(
            {
                nvml.NVML_ERROR_GPU_IS_LOST,
                nvml.NVML_ERROR_RESET_REQUIRED,
                nvml.NVML_ERROR_NOT_FOUND,
                nvml.NVML_ERROR_GPU_NOT_FOUND,
            }
        )

    def _device(self, index: int) -> list[Reading]:
        try:
            return list(self._readings(index))
        except self._nvml.NVMLError as fault:
            if fault.value in self._lost():
                return []
            raise

    def _readings(self, index: int) -> Iterator[Reading]:
        nvml, device = self._nvml, str(index)
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        name = _text(nvml.nvmlDeviceGetName(handle))
        users = self._users(handle)
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        held = 100.0 * sum(users.bytes_by_pid[pid] for pid in users.own) / memory.total if memory.total else 0.0
        used = 100.0 * memory.used / memory.total if memory.total else 0.0
        yield Reading(
            Resource.GPU_MEMORY,
            used,
            own=held,
            device=device,
            free_bytes=memory.free,
            device_name=name,
            total_bytes=memory.total,
        )
        load = self._if_supported(lambda: nvml.nvmlDeviceGetUtilizationRates(handle))
        encoder = self._if_supported(lambda: nvml.nvmlDeviceGetEncoderUtilization(handle)[0])
        own_load, own_encoder = self._own_share(index, handle, users)
        if load is not None:
            own = load.gpu if users.are_all_own else own_load
            yield Reading(Resource.GPU, load.gpu, own=own, device=device, device_name=name)
        if encoder is not None:
            stats = self._if_supported(lambda: nvml.nvmlDeviceGetEncoderStats(handle))
            own = encoder if users.are_all_own else own_encoder
            sessions = None if stats is None else stats[0]
            yield Reading(Resource.GPU_ENCODER, encoder, own=own, device=device, sessions=sessions, device_name=name)

    def _users(self, handle: object) -> Users:
        listed = self._if_supported(lambda: self._nvml.nvmlDeviceGetComputeRunningProcesses(handle)) or []
        held = {process.pid: process.usedGpuMemory or 0 for process in listed}
        ours = self._tree.read(self._surroundings.own_pids()).keys() if held else ()
        return Users(held, frozenset(held).intersection(ours))

    def _own_share(self, index: int, handle: object, users: Users) -> tuple[float, float]:
        """Our share of load and encoder, as the driver samples it by process since the last reading."""
        if not users.own or users.are_all_own:
            return 0.0, 0.0
        since = self._sampled_at.get(index, 0)
        samples = self._if_supported(lambda: self._nvml.nvmlDeviceGetProcessUtilization(handle, since)) or []
        self._sampled_at[index] = max((sample.timeStamp for sample in samples), default=since)
        return _share(samples, users.own, "smUtil"), _share(samples, users.own, "encUtil")

    def _if_supported(self, ask: Callable[[], T]) -> T | None:
        """None where this GPU has no such thing, or nothing to tell of it now."""
        nvml = self._nvml
        try:
            return ask()
        except nvml.NVMLError as fault:
            silent = {nvml.NVML_SUCCESS, nvml.NVML_ERROR_NOT_SUPPORTED, nvml.NVML_ERROR_FUNCTION_NOT_FOUND}
            unknown = {nvml.NVML_ERROR_NOT_FOUND, nvml.NVML_ERROR_NO_DATA, nvml.NVML_ERROR_NO_PERMISSION}
            if fault.value in silent | unknown:
                return None
            raise


def _nvml() -> ModuleType | Any:  # Any: nvidia-ml-py has no types
    try:
        ctypes.CDLL(LIBRARY)
    except OSError as fault:
        raise LookupError(f"no NVIDIA driver on this machine ({LIBRARY} cannot be loaded)") from fault
    import pynvml

    return pynvml


def _text(name: str | bytes) -> str:
    """Some releases of nvidia-ml-py give bytes."""
    return name if isinstance(name, str) else name.decode(errors="replace")


def _share(samples: Sequence[Any], own: Collection[int], field: str) -> float:  # Any: structs of nvidia-ml-py
    """The sum over our processes of each one's mean."""
    total = 0.0
    for pid in own:
        of_one = [getattr(sample, field) for sample in samples if sample.pid == pid]
        total += sum(of_one) / len(of_one) if of_one else 0.0
    return min(100.0, total)
