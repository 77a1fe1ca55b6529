"""Verdicts over exit codes and signals, and what becomes of stderr before a client sees it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from plugins.media.verdict import judge, redact
from protocol.errors import ErrorCode, FailureClass
from protocol.plugins import Invocation, Limits, Outcome

SESSIONS = (
    "[h264_nvenc @ 0x5581] [error] OpenEncodeSessionEx failed: {}: (no details)\n"
    "[h264_nvenc @ 0x5581] [error] No capable devices found\n"
    "[out#0/null @ 0x5582] [error] Nothing was written into output file, because at least one of its streams received no packets."
)
"""As NVENC is known to say it; no GPU with a limit was at hand to record."""


def outcome(exit_code: int, stderr: str = "", *, timed_out: bool = False, peak: int = 0) -> Outcome:
    invocation = Invocation("encode", ("ffmpeg",), limits=Limits(wall_s=60, cpu_s=90, memory_bytes=1000))
    ended = Outcome(invocation, exit_code, b"", stderr, wall_seconds=1.0, cpu_seconds=1.0, timed_out=timed_out)
    return Outcome(**{name: getattr(ended, name) for name in Outcome.__slots__} | {"peak_memory_bytes": peak})


@pytest.mark.parametrize(
    ("ended", "expected"),
    [
        (outcome(0), None),
        (outcome(-9, timed_out=True), (FailureClass.ENGINE, ErrorCode.TASK_TIMEOUT, False)),
        (outcome(-9, peak=950), (FailureClass.ENGINE, ErrorCode.TASK_MEMORY, True)),
        (outcome(-9, peak=100), (FailureClass.INFRA, ErrorCode.TOOL_FAILED, False)),
        (outcome(-15), (FailureClass.INFRA, ErrorCode.TOOL_FAILED, False)),
        (outcome(255), (FailureClass.INFRA, ErrorCode.TOOL_FAILED, False)),
        (outcome(-11), (FailureClass.ENGINE, ErrorCode.TOOL_FAILED, False)),
        (outcome(-24), (FailureClass.ENGINE, ErrorCode.TASK_TIMEOUT, False)),
        (outcome(-25), (FailureClass.ENGINE, ErrorCode.TASK_DISK, False)),
        (outcome(244, SESSIONS.format("out of memory (10)")), (FailureClass.INFRA, ErrorCode.ENCODER_SESSIONS, False)),
        (outcome(187, SESSIONS.format("incompatible client key (21)")), (FailureClass.INFRA, ErrorCode.ENCODER_SESSIONS, False)),
        (outcome(255, SESSIONS.format("out of memory (10)")), (FailureClass.INFRA, ErrorCode.ENCODER_SESSIONS, False)),
        (outcome(244, SESSIONS.format("no encode device (1)")), (FailureClass.INFRA, ErrorCode.TOOL_FAILED, False)),
        (outcome(1, "something new"), (FailureClass.ENGINE, ErrorCode.TOOL_FAILED, False)),
    ],
)
def test_endings_become_classes(ended: Outcome, expected: tuple[FailureClass, ErrorCode, bool] | None) -> None:
    failure = judge(ended, reads_input=True)

    assert (failure and (failure.failure_class, failure.code, failure.is_engine_death)) == expected


def test_a_tool_over_its_processor_time_that_took_the_signal_for_an_order_to_stop_ran_too_long() -> None:
    ended = replace(outcome(255), cpu_seconds=90.2)

    failure = judge(ended, reads_input=True)

    assert failure is not None
    assert (failure.failure_class, failure.code) == (FailureClass.ENGINE, ErrorCode.TASK_TIMEOUT)


def test_a_tool_that_only_reads_blames_the_file_for_words_we_do_not_know() -> None:
    failure = judge(outcome(1, "[vorbis] [error] Setup header corrupt."), reads_input=True, only_reads=True)

    assert failure is not None
    assert (failure.failure_class, failure.code) == (FailureClass.INPUT, ErrorCode.INPUT_CORRUPT)


def test_a_check_that_fails_blames_the_output_not_the_input() -> None:
    failure = judge(outcome(1, "[error] Invalid data found when processing input"), reads_input=False)

    assert failure is not None
    assert (failure.failure_class, failure.code) == (FailureClass.ENGINE, ErrorCode.OUTPUT_INVALID)


def test_redaction_takes_out_paths_quotes_and_addresses() -> None:
    line = "[mov @ 0x7f00] [error] Cannot open '/etc/passwd' from /srv/data/t1/x.mp4: root\x1b[0m 'quoted \"text\"' a/b"

    assert redact(line) == "[mov] [error] Cannot open <text> from <path>: root?[0m <text> a/b"


def test_redaction_keeps_the_last_lines_only() -> None:
    kept = redact("\n".join(f"line {n}" for n in range(100))).splitlines()

    assert (len(kept), kept[0], kept[-1]) == (40, "line 60", "line 99")
