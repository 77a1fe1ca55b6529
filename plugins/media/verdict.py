"""How a tool process ended, as a failure class and a stable code. A table over exit codes, one over the last stderr lines.

Messages say what happened in our own words: FFmpeg quotes paths and content of files, and those never reach a client.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from protocol.errors import ErrorCode, FailureClass
from protocol.plugins import Outcome
from protocol.results import Failure

MEMORY_EVIDENCE = 0.9
"""A process that was killed with at least this share of its memory limit in use was killed for its memory."""

LOG_LINES = 40
SIGKILL, SIGTERM, SIGINT, SIGHUP, SIGXCPU, SIGXFSZ = 9, 15, 2, 1, 24, 25
STOPPED_BY_SIGNAL = 255  # FFmpeg's own exit code after TERM or INT


@dataclass(frozen=True, slots=True)
class Row:
    """What `pattern` in the last lines of stderr means."""

    pattern: str
    failure_class: FailureClass
    code: ErrorCode
    message: str


_I, _E, _F = FailureClass.INPUT, FailureClass.ENGINE, FailureClass.INFRA
_NOT_MEDIA = "The file is not a media file of a format this server reads."
LIMIT_ROWS: tuple[Row, ...] = (  # before the others: FFmpeg reports its own caps as a lack of memory
    Row("max_streams parameter", _I, ErrorCode.INPUT_LIMITS, "The file has more streams than are taken."),
    Row("exceeds specified max pixel count", _I, ErrorCode.INPUT_LIMITS, "The picture is larger than is taken."),
    Row(
        r"(^\[error\] fd::|Error opening input:) (Cannot allocate memory|Out of memory)",
        *(_I, ErrorCode.INPUT_LIMITS, "The file's index asks for more memory than is taken."),
    ),
)
GPU_ROWS: tuple[Row, ...] = (
    Row(  # what NVENC says where its sessions are all taken
        r"OpenEncodeSessionEx failed: (out of memory|incompatible client key)",
        *(_F, ErrorCode.ENCODER_SESSIONS, "The GPU has no encoder session left."),
    ),
    Row(
        "Cannot load (libcuda|nvcuda|libnvidia-encode)|No capable devices found|minimum required Nvidia driver"
        "|CUDA_ERROR|No VA display found|Error creating a MFX session|Device creation failed|Failed to initialise VAAPI",
        *(_F, ErrorCode.TOOL_FAILED, "The engine's GPU or its driver cannot be used."),
    ),
)
"""FFmpeg's, before all others: what follows looks like a stop from outside (exit code 255), a lack of memory, or a damaged
file of which nothing was written. Other tools look for GPUs too, and say such things where they miss none.
"""

MACHINE_ROWS: tuple[Row, ...] = (
    Row("No space left on device|Disk quota exceeded", _F, ErrorCode.TASK_DISK, "The engine's disk is full."),
    Row("File too large", _E, ErrorCode.TASK_DISK, "An output grew over the limit on its size."),
    Row(
        "Cannot allocate memory|Out of memory|malloc of size",
        _E,
        ErrorCode.TASK_MEMORY,
        "The tool asked for more memory than it may use.",
    ),
    Row("Input/output error|Read-only file system", _F, ErrorCode.TASK_DISK, "The engine's disk cannot be read or written."),
    Row("Resource temporarily unavailable|Too many open files", _F, ErrorCode.TOOL_FAILED, "The engine ran short of resources."),
    Row(
        "Unknown encoder|Unrecognized option|Option not found|No such filter|Encoder not found",
        *(_E, ErrorCode.TOOL_FAILED, "This engine's FFmpeg lacks what the recipe needs."),
    ),
)
INPUT_ROWS: tuple[Row, ...] = (
    Row("moov atom not found", _I, ErrorCode.INPUT_CORRUPT, "The file is incomplete: its index is missing. Send it again."),
    Row("Format not on whitelist", _I, ErrorCode.INPUT_FORMAT, _NOT_MEDIA),
    Row(
        "Codec .* not on whitelist|No decoder for stream|Decoder .*not found|Could not find codec parameters"
        "|cannot find a decoder|Decoding requested, but no decoder found",
        *(_I, ErrorCode.INPUT_FORMAT, "The file uses a codec this server does not read."),
    ),
    Row(
        r"Error opening input: (Invalid data|End of file)|^\[error\] fd::",
        *(_I, ErrorCode.INPUT_FORMAT, _NOT_MEDIA),
    ),
    Row(
        "Application provided duration: .* is invalid|Packet duration: .* is out of range",
        *(_I, ErrorCode.INPUT_CORRUPT, "The file is damaged: its times cannot be."),
    ),
    Row("matches no streams", _I, ErrorCode.INPUT_FORMAT, "The file has no stream that this profile needs."),
    Row(
        "Invalid data found|Error while decoding|Error submitting packet to decoder|Decode error rate|Nothing was written"
        "|Cannot determine format|Conversion failed",
        *(_I, ErrorCode.INPUT_CORRUPT, "The file is damaged: it does not decode."),
    ),
    Row(
        r"Invalid pts \(\d+\) <= last",  # the graph was built anew, and its grid began at 0 again
        *(_I, ErrorCode.INPUT_FORMAT, "The picture changes its size or kind on the way, which this server does not read."),
    ),
    Row("Picture size .* is invalid", _I, ErrorCode.INPUT_LIMITS, "The picture is of a size that is not taken."),
)


UNREADABLE = Row("", _I, ErrorCode.INPUT_CORRUPT, "The file is damaged: it cannot be read.")
UNKNOWN = Row("", _E, ErrorCode.TOOL_FAILED, "The tool ended with an unknown error; the job's log has its words.")
UNDECODABLE = Row("", _E, ErrorCode.OUTPUT_INVALID, "What the tool made does not decode.")


def judge(outcome: Outcome, *, reads_input: bool, only_reads: bool = False, step: str | None = None) -> Failure | None:
    """What FFmpeg or ffprobe ended with: None for exit 0, which is not proof of anything; the failure otherwise.

    A tool that only reads the input has nothing but the input to fail on, in whatever words its decoders say so.
    """
    gpu = _found(GPU_ROWS, outcome) if outcome.exit_code > 0 and not outcome.timed_out else None
    if gpu is not None:
        return failure(gpu.failure_class, gpu.code, gpu.message, outcome, step)
    last = UNREADABLE if only_reads else UNKNOWN
    rows = (*LIMIT_ROWS, *MACHINE_ROWS, *INPUT_ROWS, last) if reads_input else (*MACHINE_ROWS, UNDECODABLE)
    return judge_by(outcome, rows, step)


def failed_by_itself(outcome: Outcome) -> bool:
    """Whether the tool gave up on its own: nobody stopped it, and no cap did."""
    is_stopped = outcome.timed_out or outcome.limit is not None or outcome.exit_code == STOPPED_BY_SIGNAL
    return outcome.exit_code > 0 and not is_stopped


def blames_gpu(outcome: Outcome) -> bool:
    """Whether the last lines speak of a GPU or its driver."""
    return _found(GPU_ROWS, outcome) is not None


def judge_by(outcome: Outcome, rows: Sequence[Row], step: str | None = None) -> Failure | None:
    """The same by the table of another tool. The first row whose pattern is found counts; the last one should fit all."""
    if outcome.timed_out:
        limit = outcome.invocation.limits.wall_s
        return failure(_E, ErrorCode.TASK_TIMEOUT, f"The tool ran longer than its limit of {limit:.0f} s.", outcome, step)
    if outcome.exit_code == 0:
        return None
    if outcome.exit_code < 0 or outcome.exit_code == STOPPED_BY_SIGNAL:
        return _killed(outcome, step)
    row = _found(rows, outcome) or UNKNOWN
    return failure(row.failure_class, row.code, row.message, outcome, step)


def _found(rows: Sequence[Row], outcome: Outcome) -> Row | None:
    return next((row for row in rows if re.search(row.pattern, outcome.stderr_tail, re.MULTILINE)), None)


def _killed(outcome: Outcome, step: str | None) -> Failure:
    signal = -outcome.exit_code if outcome.exit_code < 0 else SIGTERM
    limits = outcome.invocation.limits
    if signal == SIGKILL and outcome.peak_memory_bytes >= MEMORY_EVIDENCE * limits.memory_bytes:
        message = "The tool was killed at its memory limit."
        return failure(_E, ErrorCode.TASK_MEMORY, message, outcome, step).model_copy(update={"is_engine_death": True})
    if signal == SIGXCPU or outcome.cpu_seconds >= limits.cpu_s:  # which FFmpeg takes for an order to stop
        return failure(_E, ErrorCode.TASK_TIMEOUT, f"The tool used its {limits.cpu_s} s of processor time.", outcome, step)
    if signal == SIGXFSZ:
        return failure(_E, ErrorCode.TASK_DISK, "An output grew over the limit on its size.", outcome, step)
    if signal in (SIGKILL, SIGTERM, SIGINT, SIGHUP):
        return failure(_F, ErrorCode.TOOL_FAILED, "The tool was stopped from outside.", outcome, step)
    return failure(_E, ErrorCode.TOOL_FAILED, f"The tool crashed with signal {signal}.", outcome, step)


def failure(failure_class: FailureClass, code: ErrorCode, message: str, outcome: Outcome, step: str | None = None) -> Failure:
    """A failure with the evidence of the process that showed it."""
    evidence = {
        "invocation": outcome.invocation.name,
        "exit_code": str(outcome.exit_code),
        "peak_memory_bytes": str(outcome.peak_memory_bytes),
    }
    log_tail = redact(outcome.stderr_tail)
    return Failure(failure_class=failure_class, code=code, message=message, step=step, evidence=evidence, log_tail=log_tail)


_QUOTED = re.compile(r"'[^'\n]*'|\"[^\"\n]*\"")
_PATH = re.compile(r"(?:file:)?(?<![\w.])/[^\s:,;)\]]+")
_ADDRESS = re.compile(r" @ 0x[0-9a-f]+")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")


def redact(stderr_tail: str) -> str:
    """The last lines without paths, quoted text, addresses and anything that is not plain ASCII."""
    lines = [line for line in stderr_tail.replace("\r", "\n").split("\n") if line.strip()][-LOG_LINES:]
    return "\n".join(_redact_line(line[:300]) for line in lines)


def _redact_line(line: str) -> str:
    return _UNPRINTABLE.sub("?", _ADDRESS.sub("", _PATH.sub("<path>", _QUOTED.sub("<text>", line))))
