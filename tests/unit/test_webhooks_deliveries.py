"""Which events become which deliveries, what they say, and what follows from each try."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest
from standardwebhooks.webhooks import Webhook

from dispatch.clock import SystemClock
from dispatch.core import webhook_secrets, webhooks
from dispatch.core.records import Delivery, Event, Job, NewEvent, WebhookEndpoint
from dispatch.core.webhooks import DELAYS_S, Tried
from protocol.addresses import AddressPolicy
from protocol.errors import ErrorCode, ReelyardError
from protocol.events import EventType
from protocol.webhooks import WEBHOOK_OF_EVENT, DeliveryState, WebhookEvent
from tests.unit.dispatch_jobs import NOW, make_job

OWN = "https://client.example/told"
ENDPOINT = WebhookEndpoint("whe_1", "default", "https://hooks.example/in", ("job.completed", "job.started"), ("0:x",), "", NOW)
BAD = Tried(500, "answered 500", 0.25)


def event(type_: EventType, seq: int = 7, to: str | None = "completed", tenant: str = "default") -> Event:
    return Event(seq, NewEvent(type_, NOW + 1, tenant, "job_1", None, "completing", to))


def made(*events: Event, job: Job | None = None, endpoints: tuple[WebhookEndpoint, ...] = (ENDPOINT,)) -> list[Delivery]:
    jobs = {} if job is None else {job.job_id: job}
    return webhooks.deliveries(webhooks.told(events), jobs, endpoints, "")


def delivery(**changes: object) -> Delivery:
    one = made(event(EventType.JOB_FINISHED), job=make_job())[0]
    return replace(one, **changes)  # type: ignore[arg-type]  # any field of the record


def receivers(deliveries: list[Delivery]) -> list[tuple[str | None, str, str]]:
    return [(one.endpoint_id, one.url, one.event) for one in deliveries]


def test_an_endpoint_is_told_what_it_asked_for() -> None:
    events = [event(EventType.TRANSCODING_STARTED, 6), event(EventType.JOB_COMPLETING, 7), event(EventType.JOB_FINISHED, 8)]

    assert receivers(made(*events, job=make_job())) == [
        ("whe_1", ENDPOINT.url, "job.started"),
        ("whe_1", ENDPOINT.url, "job.completed"),
    ]


@pytest.mark.parametrize("type_", [EventType.JOB_FINISHED, EventType.JOB_FAILED, EventType.JOB_CANCELLED])
def test_a_jobs_own_url_is_told_its_end(type_: EventType) -> None:
    found = made(event(type_), job=make_job(webhook_url=OWN), endpoints=())

    assert receivers(found) == [(None, OWN, WEBHOOK_OF_EVENT[type_].value)]


def test_a_jobs_own_url_is_told_nothing_else() -> None:
    others = WEBHOOK_OF_EVENT.keys() - {EventType.JOB_FINISHED, EventType.JOB_FAILED, EventType.JOB_CANCELLED}

    assert made(*(event(type_) for type_ in others), job=make_job(webhook_url=OWN), endpoints=()) == []


def test_another_tenants_endpoint_is_told_nothing() -> None:
    assert made(event(EventType.JOB_FINISHED, tenant="acme"), job=make_job(tenant="acme")) == []


def test_what_is_no_jobs_event_tells_nobody() -> None:
    engine = Event(3, NewEvent(EventType.ENGINE_CHANGED, NOW, "-", to_state="busy"))
    task = Event(4, NewEvent(EventType.TASK_CHANGED, NOW, "default", "job_1", "tsk_0", "pending", "assigned"))

    assert webhooks.told([engine, task]) == []


def test_the_same_event_always_makes_the_same_deliveries() -> None:
    job = make_job(webhook_url=OWN)
    found = made(event(EventType.JOB_FINISHED), job=job)

    assert made(event(EventType.JOB_FINISHED), job=job) == found
    assert len({one.delivery_id for one in found}) == 2


def test_ids_sort_as_their_events_do() -> None:
    ids = [webhooks.delivery_id(event(EventType.JOB_FINISHED, seq), 0) for seq in (9, 10, 35, 36, 37, 10**7)]

    assert ids == sorted(ids)


def test_a_payload_tells_the_job() -> None:
    outputs = {"720p": {"video": {"url": "/api/v1/jobs/job_1/files/web_720p.mp4", "size_bytes": 5}}, "list": ["/api/v1/x", 1]}
    job = make_job(
        outputs_json=orjson.dumps({"outputs": outputs, "compression": {}}).decode(),
        user_metadata_json='{"title":"Opening night"}',
    )
    body = orjson.loads(webhooks.payload(event(EventType.JOB_FINISHED), WebhookEvent.JOB_COMPLETED, job, "https://reel.example"))

    assert body == {
        "type": "job.completed",
        "timestamp": "2027-01-15T08:00:01.000Z",
        "data": {
            "job_id": "job_1",
            "tenant": "default",
            "state": "completed",
            "profile": "noop",
            "created_at": "2027-01-15T08:00:00.000Z",
            "outputs": {
                "720p": {"video": {"url": "https://reel.example/api/v1/jobs/job_1/files/web_720p.mp4", "size_bytes": 5}},
                "list": ["https://reel.example/api/v1/x", 1],
            },
            "user_metadata": {"title": "Opening night"},
            "error": None,
            "links": {"self": "https://reel.example/api/v1/jobs/job_1"},
        },
    }


def test_a_failed_jobs_payload_tells_why() -> None:
    error = '{"failure_class":"input","code":"INPUT_CORRUPT","message":"damaged","step":"validate_video","evidence":{"at":"3"}}'
    body = orjson.loads(
        made(event(EventType.JOB_FAILED, to="failed"), job=make_job(error_json=error, webhook_url=OWN))[0].payload
    )

    assert body["data"]["error"] == {
        "code": "INPUT_CORRUPT",
        "message": "damaged",
        "class": "input",
        "step": "validate_video",
        "evidence": {"at": "3"},
    }


def test_a_purged_jobs_payload_needs_no_job() -> None:
    purged = Event(9, NewEvent(EventType.JOB_PURGED, NOW, "default", "job_1", None, None, None, '{"what":"all"}'))
    asked = replace(ENDPOINT, events=("job.purged",))

    data = orjson.loads(made(purged, endpoints=(asked,))[0].payload)["data"]

    assert data == {"job_id": "job_1", "tenant": "default", "state": None, "purged": {"what": "all"}}


# --- tries


def test_a_try_answered_with_2xx_is_the_last() -> None:
    done = webhooks.after_try(delivery(), Tried(204, None, 0.1), now=NOW + 5, chance=0.5)

    assert (done.state, done.attempts, done.ended_at) == (DeliveryState.DELIVERED, 1, NOW + 5)


def test_ten_tries_follow_each_other_over_three_days() -> None:
    one, now, gaps = delivery(), NOW, []
    while one.state == DeliveryState.PENDING:
        one = webhooks.after_try(one, BAD, now=now, chance=0.5)
        gaps.append(round(one.next_at - now, 6))
        now = one.next_at

    assert (one.state, one.attempts) == (DeliveryState.DEAD, 10)
    assert gaps[:9] == list(DELAYS_S[1:])
    assert 2.9 * 86_400 < sum(gaps[:9]) < 3.2 * 86_400


def test_jitter_stays_within_a_tenth() -> None:
    delays = [webhooks.delay_s(2, None, chance=chance) for chance in (0.0, 0.5, 1.0)]

    assert delays == pytest.approx([270.0, 300.0, 330.0])


@pytest.mark.parametrize(
    ("asked", "expected"), [(None, 5.0), (1.0, 5.0), (120.0, 120.0), (86_400.0, 86_400.0), (10.0**9, 86_400.0)]
)
def test_retry_after_is_kept_within_bounds(asked: float | None, expected: float) -> None:
    assert webhooks.delay_s(1, asked, chance=0.5) == expected


def test_a_jobs_own_url_that_is_gone_is_not_tried_again() -> None:
    gone = Tried(410, "answered 410", 0.1)

    assert webhooks.after_try(delivery(endpoint_id=None), gone, now=NOW, chance=0.5).state == DeliveryState.DEAD
    assert webhooks.after_try(delivery(), gone, now=NOW, chance=0.5).state == DeliveryState.PENDING


def test_the_log_keeps_the_last_twenty_tries() -> None:
    one = delivery()
    for number in range(25):
        one = replace(webhooks.after_try(one, Tried(500, f"try {number}", 0.5), now=NOW + number, chance=0.5), attempts=0)

    log = orjson.loads(one.log_json)
    assert [row["error"] for row in log] == [f"try {number}" for number in range(5, 25)]
    assert log[-1] == {"at": "2027-01-15T08:00:24.000Z", "status": 500, "seconds": 0.5, "error": "try 24"}


def test_what_is_asked_for_again_is_the_same_message() -> None:
    dead = delivery(state="dead", attempts=10, ended_at=NOW)
    again = webhooks.again(dead, now=NOW + 9)

    assert (again.state, again.attempts, again.next_at, again.ended_at) == ("pending", 0, NOW + 9, None)
    assert (again.delivery_id, again.payload, again.seq) == (dead.delivery_id, dead.payload, dead.seq)


# --- signatures and secrets


def signed(secrets: list[str], body: str = '{"a":1}') -> dict[str, str]:
    return webhooks.headers("whd_1", body, secrets, now=SystemClock().now())  # the library looks at the clock too


def test_the_standard_library_of_receivers_verifies_every_secret() -> None:
    old, new = webhook_secrets.secret_of("old"), webhook_secrets.secret_of("new")
    headers = signed([new, old])

    for secret in (old, new):
        assert Webhook(secret).verify('{"a":1}', headers) == {"a": 1}


def test_another_secret_or_another_body_is_not_verified() -> None:
    headers = signed([webhook_secrets.secret_of("mine")])

    with pytest.raises(Exception, match="No matching signature"):
        Webhook(webhook_secrets.secret_of("yours")).verify('{"a":1}', headers)
    with pytest.raises(Exception, match="No matching signature"):
        Webhook(webhook_secrets.secret_of("mine")).verify('{"a":2}', headers)


def test_a_secret_that_was_rotated_is_good_for_another_day() -> None:
    kept = webhook_secrets.rotated(webhook_secrets.first("one"), "two", now=NOW)

    assert webhook_secrets.valid(kept, now=NOW + 86_399) == ["two", "one"]
    assert webhook_secrets.previous_until(kept, now=NOW) == NOW + 86_400
    assert webhook_secrets.valid(kept, now=NOW + 86_400) == ["two"]
    assert webhook_secrets.previous_until(kept, now=NOW + 86_400) is None


def test_rotating_again_does_not_lengthen_an_old_secrets_life() -> None:
    kept = webhook_secrets.rotated(webhook_secrets.first("one"), "two", now=NOW)
    kept = webhook_secrets.rotated(kept, "three", now=NOW + 3600)

    assert webhook_secrets.valid(kept, now=NOW + 86_000) == ["three", "two", "one"]
    assert webhook_secrets.valid(kept, now=NOW + 86_400) == ["three", "two"]


def test_at_most_three_secrets_sign() -> None:
    kept = webhook_secrets.first("0")
    for number in range(1, 6):
        kept = webhook_secrets.rotated(kept, str(number), now=NOW)

    assert webhook_secrets.valid(kept, now=NOW) == ["5", "4", "3"]


# --- where to


def test_a_receiver_is_an_endpoint_or_the_server_of_a_jobs_own_url() -> None:
    own = [
        delivery(endpoint_id=None, url=url) for url in ("https://A.example/x?job=1", "https://a.example/y", "http://a.example/x")
    ]

    assert webhooks.receiver_of(delivery()) == "whe_1"
    assert [webhooks.receiver_of(one) for one in own] == [
        "default https://a.example",
        "default https://a.example",
        "default http://a.example",
    ]


def test_a_moment_behind_the_longest_delay_is_pulled_in() -> None:
    waiting = [webhooks.waiting_of(delivery(next_at=at), now=NOW, monotonic=50.0).due for at in (NOW - 9, NOW + 5, NOW + 10**7)]

    assert waiting == pytest.approx([50.0, 55.0, 50.0 + 1.1 * 86_400])


@pytest.mark.parametrize("url", ["http://10.0.0.1/", "https://user:pw@a.example/", "https://a.example:22/", "http://[::1]/"])
def test_a_url_that_leads_inside_is_refused(url: str) -> None:
    with pytest.raises(ReelyardError) as refused:
        webhooks.check_webhook_url(url, AddressPolicy())

    assert refused.value.code is ErrorCode.WEBHOOK_URL_REFUSED
