"""Where a call goes, whether it is sent twice, and what the command line exits with."""

from __future__ import annotations

import dataclasses
import importlib
from typing import get_type_hints

import pytest

from client.errors import ClientCode, ClientError, Unreachable, Unreadable, exit_code, one_line
from client.main import COMMANDS, Row
from client.sse import SseMessage
from client.stream import LiveProgress, read_event
from client.transport import Call, RetryPolicy, base_url, parse, wait_before_repeat
from client.upload import form_fields
from protocol.admin import Pong, VersionReply
from protocol.errors import ERRORS, ErrorCode, ReelyardError
from protocol.events import EventType, EventView
from protocol.jobs import JobSubmission
from protocol.operations import OPERATIONS
from protocol.profiles import OutputOverrides

POLICY = RetryPolicy(longest_wait_s=3.0)


@pytest.mark.parametrize(
    ("told", "url"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("box:8080", "http://box:8080"),
        (" https://farm.example/reelyard/?x=1#y\n", "https://farm.example/reelyard"),
    ],
)
def test_a_server_may_be_told_in_short(told: str, url: str) -> None:
    assert base_url(told) == url


@pytest.mark.parametrize("told", ["", "ftp://box", "http://", "http://box:99999", "http://[::1"])
def test_what_is_no_address_is_told_apart(told: str) -> None:
    with pytest.raises(Unreachable):
        base_url(told)


@pytest.mark.parametrize(
    ("error", "repeatable", "single"),
    [
        (Unreachable("refused", is_unsent=True), True, True),
        (Unreachable("reset"), True, False),
        (ReelyardError(ErrorCode.SHUTTING_DOWN), True, False),
        (ReelyardError(ErrorCode.SHUTTING_DOWN, retry_after=2.0), 2.0, False),
        (ReelyardError(ErrorCode.STORAGE_UNAVAILABLE, retry_after=900.0), 3.0, False),
        (Unreadable(502, "a proxy"), True, False),
        (Unreadable(500, "a proxy"), False, False),
        (ReelyardError(ErrorCode.IDEMPOTENCY_IN_PROGRESS), True, False),
        (ReelyardError(ErrorCode.IDEMPOTENCY_MISMATCH), False, False),
        (ReelyardError(ErrorCode.INTERNAL_ERROR), False, False),
        (ReelyardError(ErrorCode.STORAGE_FULL), False, False),
        (ReelyardError(ErrorCode.RATE_LIMITED), True, True),
        (ReelyardError(ErrorCode.RATE_LIMITED, retry_after=2.0), 2.0, 2.0),
        (ReelyardError(ErrorCode.RATE_LIMITED, retry_after=900.0), False, False),
        (ReelyardError(ErrorCode.QUOTA_EXCEEDED, retry_after=2.0), False, False),
        (ReelyardError(ErrorCode.UPLOAD_LOCKED), True, True),
        (ReelyardError(ErrorCode.NOT_LEADER), True, True),
        (ValueError("ours"), False, False),
    ],
)
def test_what_is_sent_again(error: Exception, repeatable: bool | float, single: bool | float) -> None:
    assert wait_before_repeat(error, is_repeatable=True, policy=POLICY) == repeatable
    assert wait_before_repeat(error, is_repeatable=False, policy=POLICY) == single


def test_only_reads_and_posts_with_a_key_are_repeatable() -> None:
    with_key = {"Idempotency-Key": "k"}

    assert [op.name for op in OPERATIONS if Call(op.name).is_repeatable] == [op.name for op in OPERATIONS if op.method == "GET"]
    assert all(Call(op.name, headers=with_key).is_repeatable for op in OPERATIONS if op.is_idempotent_by_key)


@pytest.mark.parametrize("code", ErrorCode)
def test_every_code_of_the_server_has_an_exit_code(code: ErrorCode) -> None:
    expected = 3 if ERRORS[code].status in (401, 403, 429, 500, 503, 507) else 2

    assert exit_code(ReelyardError(code)) == expected


@pytest.mark.parametrize("code", ClientCode)
def test_every_code_of_the_client_has_an_exit_code(code: ClientCode) -> None:
    assert exit_code(ClientError(code, "x")) in (2, 3)


def test_a_message_is_one_line_that_no_terminal_obeys() -> None:
    assert one_line("a\r\n\x1b[31mb\u202e\tc ") == "a [31mb c"


def test_fields_of_a_newer_server_are_passed_over() -> None:
    assert parse(Pong, b'{"status": "ok", "mood": "fine"}') == Pong(status="ok")


@pytest.mark.parametrize("text", [b"", b"<html>", b"{}", b'{"version": 1, "api": "v1"}'])
def test_an_answer_that_does_not_fit_is_told(text: bytes) -> None:
    with pytest.raises(Unreadable):
        parse(VersionReply, text)


def test_events_are_read_by_their_type() -> None:
    stored = EventView(
        seq=3,
        type=EventType.JOB_FINISHED,
        job_id="job_1",
        task_id=None,
        from_state="completing",
        to_state="completed",
        at="t",
        data={},
    )

    assert read_event(SseMessage("JobFinished", stored.model_dump_json(), "3")) == stored
    assert read_event(
        SseMessage("ProgressUpdated", '{"job_id": "job_1", "steps": [], "progress_percent": 4.5}', "3")
    ) == LiveProgress(job_id="job_1", steps=(), progress_percent=4.5)
    assert read_event(SseMessage("OfALaterVersion", "?", "3")) is None


def test_an_upload_tells_only_what_was_set() -> None:
    submission = JobSubmission(profile="web", priority=9, metadata={"t": "ä"}, tags=frozenset({"b:1", "a:1"}))

    assert form_fields(JobSubmission()) == {}
    assert form_fields(submission) == {"profile": "web", "priority": "9", "metadata": '{"t": "ä"}', "tags": "a:1,b:1"}


@pytest.mark.parametrize("row", COMMANDS, ids=lambda row: row.words)
def test_every_command_leads_to_a_function_that_takes_its_options(row: Row) -> None:
    module, _, name = row.target.partition(":")
    hints = get_type_hints(getattr(importlib.import_module(module), name))

    assert (hints["options"], hints["return"], dataclasses.is_dataclass(row.takes)) == (row.takes, int, True)


def test_wishes_for_outputs_go_with_a_form_as_json() -> None:
    submission = JobSubmission(outputs=OutputOverrides(renditions=("360p",), hls=None))

    assert form_fields(submission) == {"outputs": '{"hls": null, "renditions": ["360p"]}'}
