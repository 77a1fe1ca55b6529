"""Looks at this machine as an engine would, and says what is wrong and what to do about it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from engine.core.pressure import DISK
from engine.ports import LoadMonitor
from engine.shell.sandbox import TIERS
from engine.shell.sandbox_check import Trial
from engine.shell.survey import ToolSurvey
from protocol.capabilities import GpuLoad, Load

TIER_FOR_UNTRUSTED = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    what: str
    is_ok: bool
    detail: str


async def examine(survey: ToolSurvey, monitor: LoadMonitor, directory: Path) -> list[Finding]:
    """Disk and permissions, then the plugins and what each proved. A tool that is not installed is no fault by itself."""
    load = await monitor.read()
    findings = [_writable(directory), _space(load), _pidfd()]
    capabilities = await survey.run_once()
    load = await monitor.read()
    findings += [_readings(load), *map(_gpu, load.gpus)]
    for plugin in capabilities.plugins:
        proved = ", ".join(plugin.capabilities) or "nothing"
        detail = f"{plugin.version}: {proved}" if plugin.problem is None else plugin.problem
        findings.append(Finding(f"plugin {plugin.name}", plugin.problem is None or plugin.needs_tool, detail))
    can_work = "operation:transcode" in capabilities.provided
    findings.append(
        Finding("transcoding", can_work, "possible" if can_work else "not possible: install FFmpeg, or reelyard[ffmpeg]")
    )
    return findings


def as_text(findings: list[Finding]) -> str:
    return "\n".join(f"{'ok  ' if finding.is_ok else 'BAD '} {finding.what}: {finding.detail}" for finding in findings)


def as_json(findings: list[Finding]) -> str:
    is_ok = all(finding.is_ok for finding in findings)
    return orjson.dumps({"ok": is_ok, "findings": [asdict(finding) for finding in findings]}).decode()


def _writable(directory: Path) -> Finding:
    try:
        with tempfile.NamedTemporaryFile(dir=directory) as file:
            file.write(b"reelyard")
            file.flush()
            os.fsync(file.fileno())
    except OSError as fault:
        return Finding("data directory", False, f"{directory} cannot be written: {fault.strerror}; give another with --data")
    return Finding("data directory", True, f"{directory} can be written")


def _space(load: Load) -> Finding:
    """The watermark is the monitor's: with plenty free a disk is never low, whatever its share."""
    detail = f"{load.disk_free_bytes / 1e9:.1f} GB free ({load.disk_free_percent:.0f} %)"
    if DISK in load.busy:
        return Finding("disk space", False, f"{detail}; an engine takes no work on so full a disk: free some space")
    return Finding("disk space", True, detail)


def _readings(load: Load) -> Finding:
    """The processor's share is that of the seconds in which the plugins were tried."""
    detail = (
        f"processor {load.cpu_percent:.0f} %, memory {load.memory_percent:.0f} %, waiting for disks {load.io_wait_percent:.0f} %"
    )
    over = [resource for resource in load.busy if resource != DISK]
    if over:
        detail += f"; over its threshold: {', '.join(over)}. While that is so an engine takes no work there"
    return Finding("load", True, detail)


def _gpu(gpu: GpuLoad) -> Finding:
    load = f"load {gpu.percent:.0f} %, memory {gpu.memory_percent:.0f} %, encoder {gpu.encoder_percent:.0f} %"
    return Finding(f"GPU {gpu.index}", True, f"{gpu.name}: {load}, {gpu.sessions} encoder sessions")


def sandbox(trials: Sequence[Trial]) -> Finding:
    """The best tier that holds; what keeps the better ones from holding is told."""
    best = max((trial.tier for trial in trials if trial.problem is None), default=0)
    lacking = [f"tier {trial.tier}: {trial.problem}" for trial in trials if trial.tier > best]
    trusted = [] if best >= TIER_FOR_UNTRUSTED else ["takes no jobs of untrusted tenants"]
    return Finding("sandbox", best > 0, "; ".join([f"tier {best} ({TIERS[best]})", *trusted, *lacking]))


def _pidfd() -> Finding:
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError as fault:
        return Finding("kernel", False, f"no pidfd ({fault.strerror}); Linux 5.3 or newer is needed")
    return Finding("kernel", True, os.uname().release)
