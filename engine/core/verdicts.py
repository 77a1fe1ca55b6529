"""What the engine itself says about how a tool ended, before the plugin is asked: limits, a full disk, a kill."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from types import MappingProxyType

from engine.core.failures import disk_full
from protocol.errors import ErrorCode, FailureClass
from protocol.plugins import Limit, Outcome
from protocol.results import Failure

NEAR_LIMIT = 0.9
"""A tool that failed with this share of its memory limit in use failed for want of memory."""

NO_SPACE = "No space left on device"
"""What the C library says for ENOSPC where LANG is C."""

MET: Mapping[Limit, tuple[ErrorCode, str]] = MappingProxyType(
    {
        Limit.WALL: (ErrorCode.TASK_TIMEOUT, "The tool ran longer than its limit."),
        Limit.CPU: (ErrorCode.TASK_TIMEOUT, "The tool used more processor time than its limit."),
        Limit.MEMORY: (ErrorCode.TASK_MEMORY, "The machine's memory ran out, and the kernel killed the tool for it."),
        Limit.DISK: (ErrorCode.TASK_DISK, "The tool wrote more to the disk than its limit."),
        Limit.PIDS: (ErrorCode.TOOL_FAILED, "The tool started more processes than its limit."),
    }
)
"""What the engine says of a limit that surely ended the tool."""

LAUNCH_FAILED = 127
LAUNCH_MARK = "reelyard-launch: "
"""How the launcher says that there was nothing to launch."""


def over_limit(outcome: Outcome) -> Failure | None:
    """The failure if the tool met a limit or was killed from outside; None if the plugin is to judge."""
    if outcome.limit is not None:
        code, message = MET[outcome.limit]
        return _failure(outcome, code, message, kills=outcome.limit is Limit.MEMORY)
    if outcome.exit_code == 0:
        return None
    if outcome.peak_memory_bytes >= NEAR_LIMIT * outcome.invocation.limits.memory_bytes:
        return _failure(outcome, ErrorCode.TASK_MEMORY, "The tool needed more memory than its limit.", kills=True)
    if NO_SPACE in outcome.stderr_tail:
        return disk_full(outcome.stderr_tail)
    if outcome.exit_code == LAUNCH_FAILED and LAUNCH_MARK in outcome.stderr_tail:
        return _failure(outcome, ErrorCode.TOOL_MISSING, "The tool could not be started.", FailureClass.INFRA)
    if -outcome.exit_code in (signal.SIGKILL, signal.SIGTERM):
        return _failure(outcome, ErrorCode.TOOL_FAILED, "The tool was killed from outside.", FailureClass.INFRA)
    return None


def _failure(
    outcome: Outcome, code: ErrorCode, message: str, failure_class: FailureClass = FailureClass.ENGINE, *, kills: bool = False
) -> Failure:
    evidence = {
        "invocation": outcome.invocation.name,
        "exit_code": str(outcome.exit_code),
        "wall_seconds": f"{outcome.wall_seconds:.1f}",
        "cpu_seconds": f"{outcome.cpu_seconds:.1f}",
        "peak_memory_bytes": str(outcome.peak_memory_bytes),
    }
    return Failure(
        failure_class=failure_class,
        code=code,
        message=message,
        evidence=evidence,
        log_tail=outcome.stderr_tail,
        is_engine_death=kills,
    )
