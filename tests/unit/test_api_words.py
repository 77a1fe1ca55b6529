"""Names, types, forms, envelopes and log lines of the HTTP layer: everything that is text to text."""

from __future__ import annotations

import json

import pytest

from dispatch.api import form, problems
from dispatch.api.authentication import secrets_of
from dispatch.api.call import check_type, idempotency_key, parsed
from dispatch.api.media_types import content_type, disposition
from dispatch.api.redaction import redacted
from dispatch.api.tails import event_number
from protocol.errors import ErrorCode, ReelyardError
from protocol.jobs import JobSubmission
from protocol.leases import LeaseRequest
from protocol.operations import Form
from protocol.profiles import OutputOverrides


def refusal_of(raw: bytes) -> ReelyardError:
    with pytest.raises(ReelyardError) as refused:
        parsed(LeaseRequest, raw)
    return refused.value


def test_every_published_kind_has_its_type() -> None:
    names = ("master.m3u8", "s_001.ts", "s.m4s", "web.MP4", "x.mpd", "a.mp3", "t.jpg", "metadata.json", "odd.exe", "none")

    assert [content_type(name) for name in names] == [
        "application/vnd.apple.mpegurl",
        "video/mp2t",
        "video/iso.segment",
        "video/mp4",
        "application/dash+xml",
        "audio/mpeg",
        "image/jpeg",
        "application/json",
        "application/octet-stream",
        "application/octet-stream",
    ]


def test_plain_filename_stands_as_it_is() -> None:
    assert disposition("web_720p.mp4") == 'inline; filename="web_720p.mp4"'


def test_hostile_filename_cannot_leave_the_header() -> None:
    assert disposition('../..\\a"\r\nSet-Cookie: ü.mp4') == (
        "inline; filename=\"a___Set-Cookie: _.mp4\"; filename*=UTF-8''a%22%0D%0ASet-Cookie%3A%20%C3%BC.mp4"
    )


def test_signatures_and_queries_never_reach_a_log() -> None:
    assert redacted("/files/s/c2VjcmV0.1790000000/default/a.mp4?key=rk_1") == "/files/s/***/default/a.mp4"


def test_junk_is_malformed_json() -> None:
    assert refusal_of(b"\xff" * 100).code == ErrorCode.MALFORMED_JSON


def test_each_wrong_field_is_named_and_no_value_is_repeated() -> None:
    refused = refusal_of(
        b'{"boot_id":"b","slots":false,"light_slots":0,"request_id":"r","reports":[{"type":"HUSH"}],"zz":"HUSH"}'
    )

    assert refused.details == {
        "problems": [
            {"field": "slots", "problem": "Input should be a valid integer"},
            {"field": "reports.0", "problem": "is none of 'ack', 'start', 'complete', 'fail', 'release'"},
            {"field": "zz", "problem": "is no field of this call"},
        ]
    }
    assert refused.message == "slots: Input should be a valid integer (and 2 more, see details.problems)"


def test_thousands_of_wrong_fields_are_told_in_part() -> None:
    refused = refusal_of(json.dumps({f"x{n}": n for n in range(5000)}).encode())

    problems_told = refused.details["problems"]
    assert isinstance(problems_told, list)
    assert (len(problems_told), refused.status) == (problems.MOST_PROBLEMS, 422)


def test_envelope_holds_code_message_details_and_request_id() -> None:
    fault = ReelyardError(ErrorCode.JOB_NOT_FOUND, details={"job_id": "job_1"})

    assert json.loads(problems.envelope(fault, "req_12345678")) == {
        "error": {
            "code": "JOB_NOT_FOUND",
            "message": "No job of yours has this id.",
            "details": {"job_id": "job_1"},
            "request_id": "req_12345678",
        }
    }


def test_form_fields_make_the_same_submission_as_json() -> None:
    fields = {
        "profile": "web",
        "priority": "9",
        "ttl_s": "60",
        "metadata": '{"title": "x"}',
        "required_capabilities": "encoder:libx264, filter:zscale",
        "tags": '["site:oslo"]',
    }

    assert form.submission_of(fields) == JobSubmission(
        profile="web",
        priority=9,
        ttl_s=60,
        metadata={"title": "x"},
        required_capabilities=frozenset({"encoder:libx264", "filter:zscale"}),
        tags=frozenset({"site:oslo"}),
    )


def test_a_form_can_say_all_that_a_submission_can_but_where_the_film_is() -> None:
    others = {"input", "thumbnail", "requires"}  # parts of the form by themselves; an alias

    assert set(form.FIELDS) == set(JobSubmission.model_fields) - others


def test_wishes_and_overrides_come_by_a_form() -> None:
    fields = {"expires_at": "2027-02-01T00:00:00Z", "finish_by": "2027-01-31T00:00:00Z", "outputs": '{"renditions": ["360p"]}'}

    assert form.submission_of(fields) == JobSubmission(
        expires_at=fields["expires_at"], finish_by=fields["finish_by"], outputs=OutputOverrides(renditions=("360p",))
    )


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"priority": "11"}, "priority"),
        ({"priority": "high"}, "priority"),
        ({"priority": "5.0"}, "priority"),
        ({"metadata": "{"}, "metadata"),
        ({"metadata": "[1]"}, "metadata"),
        ({"tags": "[1"}, "tags"),
        ({"profile": "../web"}, "profile"),
    ],
)
def test_wrong_form_field_is_named(fields: dict[str, str], field: str) -> None:
    with pytest.raises(ReelyardError) as refused:
        form.submission_of(fields)

    told = refused.value.details["problems"]
    assert isinstance(told, list)
    assert (refused.value.code, told[0]["field"]) == (ErrorCode.VALIDATION_FAILED, field)


def test_order_of_form_fields_does_not_change_what_a_key_stands_for() -> None:
    one = form.canonical({"profile": "web", "priority": "5"}, filename="a.mp4", digests=["0" * 64])
    other = form.canonical({"priority": "5", "profile": "web"}, filename="a.mp4", digests=["0" * 64])
    another_file = form.canonical({"priority": "5", "profile": "web"}, filename="a.mp4", digests=["1" * 64])
    with_picture = form.canonical({"priority": "5", "profile": "web"}, filename="a.mp4", digests=["0" * 64, "1" * 64])

    assert (one == other, one == another_file, one == with_picture) == (True, False, False)


@pytest.mark.parametrize("key", ["", "with space", "ümlaut", "x" * 256, "tab\t"])
def test_malformed_idempotency_key_is_refused(key: str) -> None:
    with pytest.raises(ReelyardError) as refused:
        idempotency_key({"Idempotency-Key": key})

    assert refused.value.code == ErrorCode.IDEMPOTENCY_KEY_INVALID


@pytest.mark.parametrize("told", ["application/json", "Application/JSON; charset=UTF-8", "application/json;profile=x"])
def test_json_types_are_taken(told: str) -> None:
    check_type({"Content-Type": told})


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        {"Content-Type": "multipart/form-data; boundary=x"},
    ],
)
def test_other_types_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ReelyardError) as refused:
        check_type(headers, Form.JSON)

    assert refused.value.code == ErrorCode.UNSUPPORTED_MEDIA_TYPE


def test_secret_is_read_from_either_header() -> None:
    shown = [
        secrets_of(headers)
        for headers in (
            {"X-API-Key": "rk_1"},
            {"Authorization": "bearer rk_2"},
            {"X-API-Key": "rk_1", "Authorization": "Bearer rk_2"},
            {"Authorization": "Basic cms6MQ=="},
            {"X-API-Key": "x" * 8193},
            {"X-API-Key": "é"},
            {},
        )
    ]

    assert shown == [["rk_1"], ["rk_2"], ["rk_1", "rk_2"], [], [], [], []]


def test_last_event_id_is_a_whole_number() -> None:
    assert [event_number(text, "Last-Event-ID") for text in (None, "", "0", "42")] == [None, None, 0, 42]
    with pytest.raises(ReelyardError):
        event_number("-1", "Last-Event-ID")
