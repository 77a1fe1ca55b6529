"""What comes in from outside, parsed and judged: list queries, cursors, times, first bytes, refused fields."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dispatch.core import job_list, paging, sniffing, times
from dispatch.core.callers import Caller
from dispatch.core.job_list import JobFilter
from dispatch.core.paging import Wanted
from dispatch.core.problems import MOST, problems_of
from protocol.admin import Scope
from protocol.errors import ErrorCode, ReelyardError
from protocol.jobs import JobSubmission
from tests.unit.dispatch_jobs import NOW

TENANT = Caller("key_1", "acme", frozenset({Scope.JOBS_READ}))
ADMIN = Caller("key_2", "default", frozenset({Scope.ADMIN}))


# --- lists


def test_nothing_asked_is_the_newest_fifty_of_ones_own() -> None:
    assert job_list.parse({}, TENANT) == JobFilter(tenant="acme")
    assert job_list.parse({}, ADMIN) == JobFilter(tenant=None)


def test_a_tenant_never_reaches_another_by_asking() -> None:
    with pytest.raises(ReelyardError, match="names another tenant"):
        job_list.parse({"tenant": "other"}, TENANT)
    assert job_list.parse({"tenant": "other"}, ADMIN).tenant == "other"


def test_everything_that_may_be_asked() -> None:
    query = {
        "state": "pending,failed",
        "created_after": "2027-01-15T08:00:00Z",
        "created_before": "2027-01-15T10:00:01.5+02:00",
        "sort": "priority",
        "order": "asc",
        "limit": "200",
        "offset": "7",
    }

    assert job_list.parse(query, ADMIN) == JobFilter(
        states=("pending", "failed"),
        created_after=NOW,
        created_before=NOW + 1.5,
        sort="priority",
        descending=False,
        page=Wanted(limit=200, offset=7),
    )


@pytest.mark.parametrize(
    ("status", "states", "is_validating"),
    [
        ("pending", ("pending", "retrying"), None),
        ("validating", ("assigned",), True),
        ("processing", ("assigned", "transcoding", "completing"), False),
        ("completed", ("completed",), None),
        ("failed", ("failed",), None),
        ("cancelled", ("cancelled",), None),
    ],
)
def test_a_status_is_the_states_it_stands_for(status: str, states: tuple[str, ...], is_validating: bool | None) -> None:
    assert job_list.parse({"status": status}, ADMIN) == JobFilter(states=states, is_validating=is_validating)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", "0"),
        ("limit", "201"),
        ("limit", "-1"),
        ("limit", "ten"),
        ("limit", "1e2"),
        ("limit", "٣"),
        ("limit", "9" * 4000),
        ("offset", "-1"),
        ("offset", "1000000001"),
        ("sort", "name"),
        ("order", "up"),
        ("state", "running"),
        ("state", "pending,"),
        ("status", "assigned"),
        ("created_after", "yesterday"),
        ("created_after", "2027-01-15"),
        ("created_after", "2027-01-15T08:00:00"),
        ("created_before", ""),
        ("cursor", ""),
        ("cursor", "?"),
        ("cursor", "gibberish"),
        ("cursor", base64.urlsafe_b64encode(b'["jobs created_at desc", NaN, "job_1"]').decode()),
        ("cursor", base64.urlsafe_b64encode(b'["jobs created_at desc", true, "job_1"]').decode()),
        ("cursor", base64.urlsafe_b64encode(b'["jobs created_at desc", 1e300, "job_1"]').decode()),
        ("cursor", base64.urlsafe_b64encode(b'["jobs created_at desc", 1.0, 2]').decode()),
        ("cursor", base64.urlsafe_b64encode(b'["jobs created_at desc", 1.0]').decode()),
        ("cursor", base64.urlsafe_b64encode(b'["jobs created_at asc", 1.0, "job_1"]').decode()),
        ("cursor", base64.urlsafe_b64encode(b'["jobs priority desc", 1.0, "job_1"]').decode()),
        ("cursor", base64.urlsafe_b64encode(b"1.0").decode()),
    ],
)
def test_a_bad_value_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(ReelyardError) as refused:
        job_list.parse({name: value}, ADMIN)

    assert refused.value.code is ErrorCode.VALIDATION_FAILED
    assert [row["field"] for row in refused.value.details["problems"]] == [name]  # type: ignore[attr-defined]  # rows


@given(st.floats(min_value=0, max_value=1e11), st.sampled_from(job_list.SORTS), st.sampled_from(["asc", "desc"]))
def test_a_cursor_is_read_as_it_was_written(moment: float, sort: str, order: str) -> None:
    listing = job_list.listing_of(sort, descending=order == "desc")
    query = {"cursor": paging.cursor_of(listing, (moment, "job_1")), "sort": sort, "order": order}

    assert job_list.parse(query, ADMIN).page.after == (moment, "job_1")


def test_one_goes_on_by_cursor_or_by_offset() -> None:
    query = {"cursor": paging.cursor_of(JobFilter().listing, (NOW, "job_1")), "offset": "50"}

    with pytest.raises(ReelyardError, match="not by both"):
        job_list.parse(query, ADMIN)


@given(st.sets(st.text(max_size=3), max_size=20), st.integers(1, 5))
def test_a_list_in_memory_is_walked_whole(names: set[str], limit: int) -> None:
    rows, seen, wanted = sorted(names), list[str](), Wanted(limit=limit)
    while True:
        found = paging.cut(rows, wanted, lambda name: (name,))
        seen += found.rows
        if found.last is None:
            break
        wanted = Wanted(limit=limit, after=found.last)

    assert (seen, found.total) == (rows, len(rows))


# --- times


@given(st.floats(min_value=0, max_value=200_000_000_000))
def test_a_moment_is_told_in_milliseconds_and_read_back(moment: float) -> None:
    told = times.rfc3339(moment)

    assert told.endswith("Z")
    assert abs(times.parse(told) - moment) < 0.002


@pytest.mark.parametrize("text", ["2027-01-15T08:00:00Z", "2027-01-15T08:00:00.000+00:00", "2027-01-15t10:00:00+02:00"])
def test_every_offset_is_understood(text: str) -> None:
    assert times.parse(text) == NOW


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2027-01-15",
        "2027-01-15T08:00:00",
        "2027-13-15T08:00:00Z",
        "20270115T080000Z",
        "2027-W02-5T08:00:00Z",
        "2027-01-15T08Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
    ],
)
def test_what_is_no_rfc_3339_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        times.parse(text)


# --- first bytes


@pytest.mark.parametrize(
    ("head", "container"),
    [
        (b"\0\0\0\x20ftypisom", "mov"),
        (b"\0\0\0\x08wide\0\0\0\0mdat", "mov"),
        (b"\x1aE\xdf\xa3\x01", "matroska"),
        (b"RIFF\0\0\0\0AVI LIST", "avi"),
        (b"RIFF\0\0\0\0WAVEfmt ", "wav"),
        (b"FLV\x01\x05", "flv"),
        (b"OggS\0", "ogg"),
        (b"0&\xb2u\x8ef\xcf\x11", "asf"),
        (b"\0\0\x01\xba", "mpeg"),
        (b"\0\0\x01\xb3", "mpegvideo"),
        (b"\x06\x0e\x2b\x34\x02\x05\x01\x01", "mxf"),
        ((b"\x47" + bytes(187)) * 5, "mpegts"),
        ((bytes(4) + b"\x47" + bytes(187)) * 5, "mpegts"),
        (b"fLaC\0", "flac"),
        (b"ID3\x04", "mp3"),
        (b"\xff\xfb\x90", "mp3"),
        (b"\xff\xf1\x50", "aac"),
    ],
)
def test_a_container_is_known_by_its_first_bytes(head: bytes, container: str) -> None:
    assert sniffing.container_of(head) == container
    assert sniffing.refusal(head) is None


@pytest.mark.parametrize(
    "head",
    [
        b"hello, this is text named .mp4",
        b"#EXTM3U\n",
        b"<?xml version='1.0'?><MPD>",
        b"ffconcat version 1.0\nfile /etc/passwd",
        b"PK\x03\x04",
        b"\x7fELF",
        b"RIFF\0\0\0\0WEBP",
        b"G",
        b"G" + bytes(300),
        b"\0" * 4096,
        b"\xff",
        b"\xff\xd8\xff\xe0",
    ],
)
def test_what_is_no_media_is_refused(head: bytes) -> None:
    reason = sniffing.refusal(head)

    assert reason is not None
    assert reason.startswith("the file is not a media container")


def test_an_empty_file_is_told_to_be_empty() -> None:
    assert sniffing.refusal(b"") == "the file is empty"


@given(st.binary(max_size=600))
def test_no_bytes_are_beyond_judgement(head: bytes) -> None:
    assert (sniffing.container_of(head) is None) == (sniffing.refusal(head) is not None)


# --- refused fields


def test_a_refusal_names_the_field_and_never_repeats_what_was_sent() -> None:
    with pytest.raises(ValidationError) as invalid:
        JobSubmission.model_validate_json('{"priority":11,"secret_thing":"hunter2","input":{"path":""}}')

    rows = problems_of(invalid.value)

    assert {row["field"] for row in rows} == {"priority", "secret_thing", "input.path"}
    assert "hunter2" not in str(rows)


def test_a_body_that_is_no_object_is_named_as_the_body_and_problems_are_bounded() -> None:
    with pytest.raises(ValidationError) as no_object:
        JobSubmission.model_validate_json("[]")
    with pytest.raises(ValidationError) as many:
        JobSubmission.model_validate({f"field_{number}": 1 for number in range(3 * MOST)})

    assert [row["field"] for row in problems_of(no_object.value)] == ["body"]
    assert len(problems_of(many.value)) == MOST


@pytest.mark.parametrize("number", ["1" + "0" * 30, "-" + "9" * 19, "NaN", "Infinity", "1e999"])
def test_metadata_holds_only_numbers_that_come_back_as_they_were(number: str) -> None:
    with pytest.raises(ValidationError, match="beyond 64 bits"):
        JobSubmission.model_validate_json(f'{{"metadata":{{"list":[{{"n":{number}}}]}}}}')


def test_metadata_may_hold_any_other_number() -> None:
    told = JobSubmission.model_validate_json('{"metadata":{"a":18446744073709551615,"b":-9223372036854775808,"c":1.5,"d":true}}')

    assert told.metadata == {"a": 2**64 - 1, "b": -(2**63), "c": 1.5, "d": True}
