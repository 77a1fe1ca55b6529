"""A real FFmpeg runs on the processors of its slot, and sees the GPU of its slot or none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from imageio_ffmpeg import get_ffmpeg_exe

from engine.clock import SystemClock
from engine.core.slots import Slot, SlotKind
from engine.shell.process import Tools
from protocol.plugins import Invocation, Limits

pytestmark = pytest.mark.integration

ENCODE = (
    *("-hide_banner", "-nostdin", "-progress", "pipe:1", "-stats_period", "0.05"),
    *("-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=8", "-c:v", "libx264", "-threads", "2", "out.mp4"),
)
LAST = max(os.sched_getaffinity(0))


def allowed(pid: str) -> set[str]:
    """The processors of each thread, as the kernel writes them."""
    rows = (row for path in Path(f"/proc/{pid}/task").glob("*/status") for row in path.read_text().splitlines())
    return {row.split()[1] for row in rows if row.startswith("Cpus_allowed_list")}


class Watcher:
    """Looks at the tool with the work directory `directory` when it tells its first line."""

    def __init__(self, directory: Path) -> None:
        self._directory, self._looked = str(directory), False
        self.allowed: set[str] = set()
        self.environment: set[str] = set()

    def look(self, line: str) -> None:
        if self._looked or not line.startswith("frame="):
            return
        self._looked = True
        own = [pid for pid in os.listdir("/proc") if pid.isdecimal() and self._is_ours(pid)]
        self.allowed = {numbers for pid in own for numbers in allowed(pid)}
        self.environment = {word for pid in own for word in Path(f"/proc/{pid}/environ").read_text().split("\0")}

    def _is_ours(self, pid: str) -> bool:
        try:
            return os.path.realpath(f"/proc/{pid}/exe") == os.path.realpath(get_ffmpeg_exe()) and (
                os.readlink(f"/proc/{pid}/cwd") == self._directory
            )
        except OSError:
            return False  # gone, or not ours


async def watched(slot: Slot, directory: Path) -> Watcher:
    watcher = Watcher(directory)
    invocation = Invocation(name="encode", argv=(get_ffmpeg_exe(), *ENCODE), streams=True, limits=Limits(wall_s=60.0))
    outcome = await Tools(SystemClock()).run(invocation, str(directory), watcher.look, slot)
    assert (outcome.exit_code, outcome.stderr_tail.count("Error")) == (0, 0)
    return watcher


async def test_every_thread_of_an_encode_stays_on_its_slots_processors(tmp_path: Path) -> None:
    seen = await watched(Slot(f"CPU:{LAST}", SlotKind.CPU, (LAST,), threads=1), tmp_path)

    assert seen.allowed == {str(LAST)}
    assert "CUDA_VISIBLE_DEVICES=" in seen.environment


async def test_a_slot_on_a_gpu_shows_that_one_and_is_pinned_nowhere_by_itself(tmp_path: Path) -> None:
    seen = await watched(Slot("GPU:1", SlotKind.GPU, device="1", threads=2), tmp_path)

    assert seen.allowed == allowed("self")
    assert {"CUDA_VISIBLE_DEVICES=1", "CUDA_DEVICE_ORDER=PCI_BUS_ID"} <= seen.environment
