"""Failures as the engine itself reports them, each with its class: who pays for it."""

from __future__ import annotations

from collections.abc import Mapping

from protocol.errors import ErrorCode, FailureClass, ReelyardError
from protocol.results import Failure

LOG_TAIL = 32 << 10

CLASSES = {
    ErrorCode.TOOL_MISSING: FailureClass.INFRA,
    ErrorCode.TRANSFER_FAILED: FailureClass.INFRA,
    ErrorCode.TASK_DISK: FailureClass.INFRA,
    ErrorCode.LIVE_NO_PORT: FailureClass.INFRA,
}
"""By code, for errors a plugin raised, and for an input without room; all others are faults of the plugin."""


def disk_full(log_tail: str = "") -> Failure:
    """Nobody's fault but this machine's."""
    return _failure(FailureClass.INFRA, ErrorCode.TASK_DISK, "The engine's disk filled up.", log_tail)


def transfer_failed(reason: str, log_tail: str = "") -> Failure:
    failure = _failure(FailureClass.INFRA, ErrorCode.TRANSFER_FAILED, "A file could not be moved to or from storage.", log_tail)
    return failure.model_copy(update={"evidence": {"reason": reason[:500]}})


def tool_lost(message: str, evidence: Mapping[str, str], log_tail: str = "") -> Failure:
    """An engine before this one had started the tool, and what became of it cannot be used."""
    failure = _failure(FailureClass.INFRA, ErrorCode.ENGINE_DIED, message, log_tail)
    return failure.model_copy(update={"evidence": {name: word[:500] for name, word in evidence.items()}})


def input_failed(code: ErrorCode, message: str) -> Failure:
    """The client's input cannot be had; another engine would not fare better."""
    return _failure(FailureClass.INPUT, code, f"{message[:1].upper()}{message[1:]}.", "")


def not_read(reason: str, log_tail: str = "") -> Failure:
    """A tool that was fed ended well, and has not seen all of its input: what it made may be short."""
    failure = _failure(FailureClass.ENGINE, ErrorCode.TOOL_FAILED, "The tool did not read the whole input.", log_tail)
    return failure.model_copy(update={"evidence": {"reason": reason}})


def holes() -> Failure:
    """Never reported: parts of an input are not enough for this work, and the whole of it is fetched."""
    return _failure(FailureClass.ENGINE, ErrorCode.TOOL_FAILED, "More of the input is needed than its ends.", "")


def raised(error: ReelyardError, log_tail: str = "") -> Failure:
    """A plugin refused with a code of its own."""
    return _failure(CLASSES.get(error.code, FailureClass.INTERNAL), error.code, error.message, log_tail)


def plugin_failed(fault: Exception, log_tail: str = "") -> Failure:
    """A fault in a plugin, or in the engine around it."""
    failure = _failure(FailureClass.INTERNAL, ErrorCode.PLUGIN_FAILED, "A plugin of the engine failed on this task.", log_tail)
    return failure.model_copy(update={"evidence": {"fault": f"{type(fault).__name__}: {fault}"[:500]}})


def _failure(failure_class: FailureClass, code: ErrorCode, message: str, log_tail: str) -> Failure:
    return Failure(failure_class=failure_class, code=code, message=message, log_tail=log_tail[-LOG_TAIL:])
