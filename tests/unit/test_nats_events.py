"""What others may send in, and what they are told: read, refused and made without a broker."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dispatch.core import cloud_events
from dispatch.core.incoming import Unusable, Wanted, is_passing, wanted_of
from dispatch.core.records import Event, NewEvent
from protocol.errors import ErrorCode
from protocol.events import EventType
from tests.unit.dispatch_jobs import NOW

EVENT = {
    "specversion": "1.0",
    "id": "1",
    "source": "/cms",
    "type": "VideoUploaded",
    "data": {"profile": "web", "input": {"url": "https://example.com/a.mp4"}},
}


def read(**changes: object) -> Wanted:
    return wanted_of(json.dumps({**EVENT, **changes}).encode(), ("default", "acme"))


WORDS = st.sampled_from(["", "a", "web", "noop", "\x00", "\ud83d", "1.0", "default", "https://x.example/a"])
JSON = st.recursive(
    st.none() | st.booleans() | st.sampled_from([0, -1, 2**70, 1e400, 5]) | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=4,
)
FIELDS = ("profile", "input", "metadata", "tenant", "priority", "outputs", "tags", "content_keys")
ATTRIBUTES = (*EVENT, "time", "subject", "x")


def _event(changes: Mapping[str, object]) -> bytes:
    return json.dumps({**EVENT, **changes}).encode()


def _data(data: Mapping[str, object]) -> bytes:
    return _event({"data": data})


BODIES = (
    st.binary(max_size=50)
    | st.dictionaries(st.sampled_from(ATTRIBUTES), JSON, max_size=3).map(_event)
    | st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=3).map(_data)
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy
@given(BODIES)
def test_anything_is_a_job_or_unusable(body: bytes) -> None:
    try:
        tenant = wanted_of(body, ("default",)).who.tenant
    except Unusable:
        return
    assert tenant == "default"


def test_an_event_is_known_by_source_and_id_alone() -> None:
    assert read().key == read(time="2026-11-20T10:00:00Z", subject="x").key
    assert len({read().key.key, read(id="2").key.key, read(source="/other").key.key}) == 3


def test_other_data_under_the_same_name_is_another_question() -> None:
    other = read(data={"profile": "web-hq", "input": {"url": "https://example.com/a.mp4"}})
    assert (other.key.key, other.key.fingerprint != read().key.fingerprint) == (read().key.key, True)


def test_the_first_tenant_is_meant_where_none_is_named() -> None:
    named = read(data={**EVENT["data"], "tenant": "acme"})  # type: ignore[dict-item]
    assert (read().who.tenant, named.who.tenant) == ("default", "acme")


def test_keys_are_told_apart_as_secret() -> None:
    with pytest.raises(Unusable) as refused:
        read(data={"content_keys": {}})
    assert refused.value.is_secret


@pytest.mark.parametrize(
    ("code", "passes"),
    [
        (ErrorCode.DATABASE_UNAVAILABLE, True),
        (ErrorCode.STORAGE_FULL, True),
        (ErrorCode.QUOTA_EXCEEDED, True),
        (ErrorCode.IDEMPOTENCY_IN_PROGRESS, True),
        (ErrorCode.PROFILE_NOT_FOUND, False),
        (ErrorCode.IDEMPOTENCY_MISMATCH, False),
    ],
)
def test_only_what_ends_by_itself_is_waited_for(code: ErrorCode, passes: bool) -> None:
    assert is_passing(code) is passes


CREATED = Event(7, NewEvent(EventType.JOB_CREATED, NOW, "default", "job_1", None, None, "pending"))


def test_an_event_made_again_is_the_same_to_the_byte() -> None:
    one, other = (cloud_events.named([CREATED], {}, "/farm", "") for _ in range(2))
    assert (one[0].message_id, one[0].body) == (other[0].message_id, other[0].body)


def test_the_same_number_after_a_restore_is_another_event() -> None:
    later = Event(7, replace(CREATED.new, at=NOW + 1))
    ids = {cloud_events.named([event], {}, "/farm", "")[0].event.id for event in (CREATED, later)}
    assert len(ids) == 2


def test_a_job_that_is_gone_is_told_without_its_row() -> None:
    (told,) = cloud_events.named([CREATED], {}, "/farm", "")
    assert (told.event.subject, told.event.data) == (
        "job_1",
        {
            "job_id": "job_1",
            "tenant": "default",
            "from_state": None,
            "to_state": "pending",
            "profile": None,
            "created_at": None,
            "user_metadata": {},
            "error": None,
            "links": {},
            "details": {},
        },
    )
