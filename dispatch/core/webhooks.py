"""Which events become which deliveries, what is sent, and what follows from each try. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from dispatch.core.planning import load_profile
from dispatch.core.records import Delivery, Event, Job, WebhookEndpoint
from dispatch.core.times import rfc3339
from dispatch.core.webhook_queue import Waiting
from protocol.addresses import AddressPolicy, UrlRefused, check_url
from protocol.errors import ErrorCode, ReelyardError
from protocol.operations import API
from protocol.states import JobState
from protocol.webhooks import ENDINGS, WEBHOOK_OF_EVENT, DeliveryState, WebhookEvent

DELAYS_S = (0.0, 5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""Before the first try, before the second, and so on: ten in three days."""

LONGEST_DELAY_S = 1.1 * DELAYS_S[-1]
JITTER = 0.1
GIVE_UP_S = 7 * 86_400.0
"""An open circuit costs no tries, and a disabled endpoint none; what has been due for so long is given up all the same."""

MOST_LOGGED = 20
GONE = 410
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
Fields = dict[str, Any]  # JSON under construction; leaves it as text


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of one try. `status` is None when there was no answer; `error` then says why, in one sentence."""

    status: int | None
    error: str | None
    seconds: float
    retry_after: float | None = None

    @property
    def is_delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


# --- where to


def check_webhook_url(url: str, policy: AddressPolicy) -> None:
    """Its form, its port and any address in it; a name is resolved each time something is sent. Raises WEBHOOK_URL_REFUSED."""
    try:
        check_url(url, policy)
    except UrlRefused as refused:
        raise ReelyardError(ErrorCode.WEBHOOK_URL_REFUSED, f"the webhook's URL is refused: {refused}") from None


# --- from events to deliveries


def told(events: Iterable[Event]) -> list[Event]:
    """Those of the events that receivers may ask for."""
    return [event for event in events if event.new.type in WEBHOOK_OF_EVENT and event.new.job_id is not None]


def deliveries(
    events: Sequence[Event], jobs: Mapping[str, Job], endpoints: Sequence[WebhookEndpoint], public_url: str
) -> list[Delivery]:
    """One for each event and receiver: every endpoint of the tenant that asks for it, and the job's own URL at its end.

    `jobs` are as the transaction leaves them. Ids follow from the event's number, so a transaction that runs again
    makes the same ones.
    """
    made: list[Delivery] = []
    for event in events:
        name = WEBHOOK_OF_EVENT[event.new.type]
        job = jobs.get(event.new.job_id or "")
        receivers: list[tuple[str | None, str]] = [
            (e.endpoint_id, e.url) for e in endpoints if e.tenant == event.new.tenant and name in e.events
        ]
        if job is not None and job.webhook_url is not None and name in ENDINGS:
            receivers.append((None, job.webhook_url))
        if receivers:
            body = payload(event, name, job, public_url)
            made.extend(_delivery(event, name, place, to, body) for place, to in enumerate(receivers))
    return made


def _delivery(event: Event, name: WebhookEvent, place: int, to: tuple[str | None, str], body: str) -> Delivery:
    new, (endpoint_id, url) = event.new, to
    return Delivery(
        delivery_id=delivery_id(event, place),
        tenant=new.tenant,
        endpoint_id=endpoint_id,
        url=url,
        job_id=new.job_id or "",
        seq=event.seq,
        event=name.value,
        payload=body,
        state=DeliveryState.PENDING.value,
        attempts=0,
        next_at=new.at,
        created_at=new.at,
    )


def delivery_id(event: Event, place: int) -> str:
    """Sortable. The moment keeps it apart from the same number before a restore."""
    return f"whd_{_base36(int(event.new.at * 1000), 9)}{_base36(event.seq, 8)}{_base36(place, 2)}"


def _base36(number: int, width: int) -> str:
    digits = ""
    while number:
        number, rest = divmod(number, 36)
        digits = DIGITS[rest] + digits
    return digits.rjust(width, "0")


def receiver_of(delivery: Delivery) -> str:
    """Whom it is for: an endpoint, or the server behind a job's own URL, for each tenant apart."""
    if delivery.endpoint_id is not None:
        return delivery.endpoint_id
    scheme, _, rest = delivery.url.partition("://")
    host = rest.replace("?", "/").replace("#", "/").partition("/")[0]
    return f"{delivery.tenant} {scheme}://{host}".lower()


def waiting_of(delivery: Delivery, *, now: float, monotonic: float) -> Waiting:
    """As the queue holds it. A moment further ahead than any delay was set before the wall clock went back."""
    due = monotonic + min(max(delivery.next_at - now, 0.0), LONGEST_DELAY_S)
    return Waiting(delivery.seq, delivery.delivery_id, delivery.job_id, receiver_of(delivery), delivery.tenant, due)


# --- what is sent


def payload(event: Event, name: WebhookEvent, job: Job | None, public_url: str) -> str:
    """The body. Its links are the stable ones: they need a key and do not expire; absolute where `public_url` is set."""
    data: Fields = {"job_id": event.new.job_id, "tenant": event.new.tenant, "state": event.new.to_state}
    if job is not None:
        data |= about(job, event.new.to_state, public_url)
    if name is WebhookEvent.JOB_PURGED:
        data["purged"] = orjson.loads(event.new.data_json)
    return orjson.dumps({"type": name.value, "timestamp": rfc3339(event.new.at), "data": data}).decode()


def about(job: Job, state: str | None, public_url: str) -> Fields:
    """What a receiver is told of a job as it stands."""
    kept = None if job.outputs_json is None else orjson.loads(job.outputs_json)
    is_failed = state == JobState.FAILED.value and job.error_json is not None
    return {
        "profile": load_profile(job.profile_json).name,
        "created_at": rfc3339(job.created_at),
        "outputs": None if kept is None else _linked(kept["outputs"], public_url),
        "user_metadata": orjson.loads(job.user_metadata_json),
        "error": _error(job.error_json) if is_failed and job.error_json is not None else None,
        "links": {"self": f"{public_url}{API}/jobs/{job.job_id}"},
    }


def _error(error_json: str) -> Fields:
    failure = orjson.loads(error_json)
    told = {"code": failure["code"], "message": failure["message"], "class": failure["failure_class"]}
    return {**told, "step": failure.get("step"), "evidence": failure.get("evidence") or {}}


def _linked(value: Any, public_url: str) -> Any:  # JSON
    match value:
        case dict():
            return {name: _linked(inner, public_url) for name, inner in value.items()}
        case list():
            return [_linked(inner, public_url) for inner in value]
        case str() if value.startswith(f"{API}/"):
            return f"{public_url}{value}"
        case _:
            return value


def trial(endpoint: WebhookEndpoint, *, now: float) -> str:
    """The body of a delivery that only tries an endpoint out."""
    data = {"endpoint_id": endpoint.endpoint_id, "tenant": endpoint.tenant, "message": "The endpoint can be reached."}
    return orjson.dumps({"type": WebhookEvent.TEST.value, "timestamp": rfc3339(now), "data": data}).decode()


def headers(delivery_id: str, body: str, secrets: Iterable[str], *, now: float) -> dict[str, str]:
    """The headers of Standard Webhooks 1.0: one `v1` signature (HMAC-SHA256) for each secret that is good now."""
    stamp = str(int(now))
    content = f"{delivery_id}.{stamp}.{body}".encode()
    signatures = [f"v1,{_signature(secret, content)}" for secret in secrets]
    return {"webhook-id": delivery_id, "webhook-timestamp": stamp, "webhook-signature": " ".join(signatures)}


def _signature(secret: str, content: bytes) -> str:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()


# --- what follows from a try


def after_try(delivery: Delivery, tried: Tried, *, now: float, chance: float) -> Delivery:
    """Delivered, to be tried again, or dead: after the last try, and where a job's own URL says that it is gone."""
    attempts = delivery.attempts + 1
    logged = replace(delivery, attempts=attempts, log_json=_logged(delivery.log_json, tried, now=now))
    if tried.is_delivered:
        return replace(logged, state=DeliveryState.DELIVERED.value, ended_at=now)
    is_gone = tried.status == GONE and delivery.endpoint_id is None
    if is_gone or attempts >= len(DELAYS_S):
        return replace(logged, state=DeliveryState.DEAD.value, ended_at=now)
    return replace(logged, next_at=now + delay_s(attempts, tried.retry_after, chance=chance))


def delay_s(attempts: int, retry_after: float | None, *, chance: float) -> float:
    """How long after the try that was number `attempts`; a receiver may ask for more, at most for the longest delay."""
    own = DELAYS_S[attempts] * (1 - JITTER + 2 * JITTER * chance)
    return max(own, min(retry_after or 0.0, DELAYS_S[-1]))


def claimed(delivery: Delivery, *, until: float) -> Delivery:
    """One server sends it now: no other does before that moment, whoever leads."""
    return replace(delivery, next_at=until)


def _logged(log_json: str, tried: Tried, *, now: float) -> str:
    row = {"at": rfc3339(now), "status": tried.status, "seconds": round(tried.seconds, 3), "error": tried.error}
    return orjson.dumps([*orjson.loads(log_json), row][-MOST_LOGGED:]).decode()


def ended(delivery: Delivery, state: DeliveryState, why: str, *, now: float) -> Delivery:
    """Not tried any more, for a reason beyond it."""
    log_json = _logged(delivery.log_json, Tried(None, why, 0.0), now=now)
    return replace(delivery, state=state.value, ended_at=now, log_json=log_json)


def again(delivery: Delivery, *, now: float) -> Delivery:
    """Asked for anew: all its tries from the start, the same id and bytes."""
    return replace(delivery, state=DeliveryState.PENDING.value, attempts=0, next_at=now, ended_at=None)


def disabled(endpoint: WebhookEndpoint, why: str, *, now: float) -> WebhookEndpoint:
    return replace(endpoint, disabled_at=now, disabled_reason=why, version=endpoint.version + 1)
