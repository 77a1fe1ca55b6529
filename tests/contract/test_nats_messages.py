"""What lies on the broker: grants that only their engine can read, dead letters with their reason, events that are valid."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from nats.aio.msg import Msg
from nats.js.api import RawStreamMsg

from engine.core.messages import Identity
from engine.shell.envelopes import Envelopes, NotBelieved
from protocol.broker import MESSAGE_ID, ORIGIN, REASON, bound_to
from protocol.broker_events import EVENTS_OUT
from protocol.cloud_events import CloudEvent
from protocol.errors import ErrorCode, ReelyardError
from protocol.leases import Ack, Grant, ReportsRequest
from tests.contract.api_server import until
from tests.contract.nats_world import Ground, Json, done, ground
from tests.servers.nats import NatsServer, nats_server

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def broker(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[NatsServer]:
    async with nats_server(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def world(request: pytest.FixtureRequest, tmp_path: Path, broker: NatsServer) -> AsyncIterator[Ground]:
    prefix = "t" + str(abs(hash(request.node.name)))[:12]
    async with ground(tmp_path, broker, prefix, tenants=("default", "acme")) as made:
        yield made


def uploaded(id_: str = "evt-1", **data: object) -> Json:
    return {
        "specversion": "1.0",
        "id": id_,
        "source": "//cms.example/videos",
        "type": "io.reelyard.VideoUploaded",
        "data": {"profile": "noop", **data},
    }


async def jobs_of(world: Ground) -> list[Json]:
    found: list[Json] = (await world.server.call("GET", "/api/v1/jobs?limit=100")).json["jobs"]
    return found


# --- between dispatch and engines


async def test_a_grant_on_the_broker_is_for_its_engine_alone(world: Ground) -> None:
    box, other = await world.box("nats", name="one"), await world.box("nats", name="two")
    await world.server.submit()
    (grant,) = (await box.ask("r1")).tasks
    (kept,) = await world.kept("TASKS")
    subject = world.subjects.tasks(box.who.engine_id)
    assert kept.subject == subject
    assert grant.task_id.encode() not in (kept.data or b"")
    assert Grant.model_validate_json(Envelopes(box.who.credential).open(kept.data or b"", bound_to(subject))) == grant
    with pytest.raises(NotBelieved):
        Envelopes(other.who.credential).open(kept.data or b"", bound_to(subject))


async def test_the_broker_forgets_a_grant_once_it_is_on_the_engines_disk(world: Ground) -> None:
    box = await world.box("nats")
    await world.server.submit()
    (grant,) = (await box.ask("r1")).tasks
    assert await world.count("TASKS") == 1
    await box.write(grant)
    await world.until("TASKS", lambda kept: not kept)


async def test_a_report_is_settled_also_when_its_engine_is_gone(world: Ground) -> None:
    box = await world.box("nats")
    job = (await world.server.submit())["job_id"]
    (grant,) = (await box.ask("r1")).tasks
    subject = world.subjects.status("complete", box.who.engine_id)
    body = ReportsRequest(boot_id="boot-0001", reports=(done(grant),)).model_dump_json().encode()
    sealed = Envelopes(box.who.credential).seal(body, bound_to(subject, "last-words"))
    await world.nats.jetstream().publish(subject, sealed, headers={MESSAGE_ID: "last-words"})

    async def is_completed() -> bool:
        return await world.state(job) == "completed"

    async with asyncio.timeout(20):
        await until(is_completed)
    await world.until("STATUS", lambda kept: not kept)


async def test_a_report_that_nobody_sealed_is_a_dead_letter(world: Ground) -> None:
    box = await world.box("nats")
    job = (await world.server.submit())["job_id"]
    (grant,) = (await box.ask("r1")).tasks
    subject = world.subjects.status("complete", box.who.engine_id)
    body = json.dumps({"boot_id": "boot-0001", "reports": [json.loads(done(grant).model_dump_json())]}).encode()
    await world.nats.jetstream().publish(subject, body, headers={MESSAGE_ID: "forged"})
    (dead,) = await world.until("DEAD", bool)
    headers = dead.headers or {}
    assert (dead.subject, dead.data, headers[ORIGIN]) == (world.subjects.dead("status"), body, subject)
    assert headers[REASON].startswith("UNAUTHORIZED: ")
    await world.until("STATUS", lambda kept: not kept)
    assert await world.state(job) == "assigned"


async def test_an_engine_cannot_speak_for_another(world: Ground) -> None:
    box, thief = await world.box("nats", name="one"), await world.box("nats", name="two")
    job = (await world.server.submit())["job_id"]
    (grant,) = (await box.ask("r1")).tasks
    subject = world.subjects.status("ack", box.who.engine_id)
    ack = Ack(task_id=grant.task_id, token=grant.token)
    body = json.dumps({"boot_id": "boot-0001", "reports": [json.loads(ack.model_dump_json())]}).encode()
    sealed = Envelopes(thief.who.credential).seal(body, bound_to(subject, "x"))
    await world.nats.jetstream().publish(subject, sealed, headers={MESSAGE_ID: "x"})
    await world.until("DEAD", bool)
    detail = (await world.server.call("GET", f"/api/v1/jobs/{job}")).json
    assert detail["state"] == "assigned"


async def test_an_ask_with_a_false_credential_goes_by_http_and_is_refused_there(world: Ground) -> None:
    box = await world.box("nats")
    await box.ask("r1", wait_s=0)
    liar = replace(box, who=Identity(box.who.engine_id, "of-nobody"))
    with pytest.raises(ReelyardError) as refused:
        await liar.ask("r2", wait_s=0)
    assert refused.value.code is ErrorCode.UNAUTHORIZED


async def test_a_grant_that_no_engine_takes_becomes_a_dead_letter(world: Ground) -> None:
    """The engine's queue gives it up after so many deliveries; here each is handed back at once."""
    box = await world.box("nats")

    async def refuse(message: Msg) -> None:
        await message.nak()

    await world.nats.subscribe(world.subjects.work(box.who.engine_id), cb=refuse)
    await world.server.submit()
    await box.ask("r1")
    (dead,) = await world.until("DEAD", bool)
    assert (dead.headers or {})[ORIGIN] == world.subjects.tasks(box.who.engine_id)
    assert "not taken in 3 deliveries" in (dead.headers or {})[REASON]
    await world.until("TASKS", lambda kept: not kept)


# --- from others


async def test_the_same_event_ten_times_is_one_job(world: Ground) -> None:
    for _ in range(10):
        await world.send_in(uploaded(metadata={"title": "a"}))
    await world.until("IN", lambda kept: not kept)
    (job,) = await jobs_of(world)
    assert (job["tenant"], job["user_metadata"], await world.count("DEAD")) == ("default", {"title": "a"}, 0)


async def test_an_event_names_its_tenant_if_the_settings_allow_it(world: Ground) -> None:
    await world.server.new_tenant("acme")
    await world.server.new_tenant("other")
    await world.send_in(uploaded("one", tenant="acme"))
    await world.send_in(uploaded("two", tenant="other"))
    (dead,) = await world.until("DEAD", bool)
    await world.until("IN", lambda kept: not kept)
    assert [job["tenant"] for job in await jobs_of(world)] == ["acme"]
    assert (dead.headers or {})[REASON] == "VALIDATION_FAILED: the tenant other is none of nats.tenants"


BAD: dict[str, tuple[bytes, str]] = {
    "no JSON": (b"{", "VALIDATION_FAILED: no CloudEvent"),
    "no id": (json.dumps({**uploaded(), "id": ""}).encode(), "VALIDATION_FAILED: no CloudEvent 1.0 in structured JSON: id"),
    "another version": (json.dumps({**uploaded(), "specversion": "0.3"}).encode(), "VALIDATION_FAILED: no CloudEvent"),
    "another type": (json.dumps({**uploaded(), "type": "x"}).encode(), "VALIDATION_FAILED: the type is none of"),
    "no submission": (json.dumps(uploaded(priority=99)).encode(), "VALIDATION_FAILED: data is no submission: priority"),
    "an unknown profile": (json.dumps(uploaded(profile="nope")).encode(), "PROFILE_NOT_FOUND: "),
    "a forbidden path": (
        json.dumps(uploaded(profile="web", input={"path": "/etc/passwd"})).encode(),
        "PATH_NOT_ALLOWED: ",
    ),
}


async def test_what_can_be_no_job_is_a_dead_letter_with_its_reason(world: Ground) -> None:
    js = world.nats.jetstream()
    for body, _ in BAD.values():
        await js.publish(world.subjects.incoming("VideoUploaded"), body)
    kept = await world.until("DEAD", lambda found: len(found) == len(BAD))
    reasons = {dead.data: (dead.headers or {})[REASON] for dead in kept}
    wrong = {name: reasons[body] for name, (body, begins) in BAD.items() if not reasons[body].startswith(begins)}
    assert wrong == {}
    assert await jobs_of(world) == []


async def test_content_keys_stand_in_no_dead_letter(world: Ground) -> None:
    await world.send_in(uploaded(content_keys={"keys": [{"key_id": "0" * 32, "key": "1" * 32}]}))
    (dead,) = await world.until("DEAD", bool)
    await world.until("IN", lambda kept: not kept)
    assert (dead.data or b"", (dead.headers or {})[REASON]) == (
        b"",
        "VALIDATION_FAILED: content_keys do not go over a broker: submit this job by HTTP",
    )


# --- to others


async def test_every_event_is_a_valid_cloud_event_with_data_of_its_type(world: Ground) -> None:
    live: list[bytes] = []

    async def hear(message: Msg) -> None:
        live.append(message.data)

    await world.nats.subscribe(world.subjects.event("EngineHeartbeat"), cb=hear)
    box = await world.box("nats")
    job = (await world.server.submit(metadata={"title": "a"}))["job_id"]
    (grant,) = (await box.ask("r1")).tasks
    await box.beat()
    await box.ask("r2", done(grant), slots=0, wait_s=0)
    kept = await world.until("EVENTS", lambda found: any(m.subject == world.subjects.event("VideoTranscoded") for m in found))
    events = [CloudEvent.model_validate_json(message.data or b"") for message in kept]
    for message, event in zip(kept, events, strict=True):
        name = event.type.removeprefix("io.reelyard.")
        assert message.subject == world.subjects.event(name)
        EVENTS_OUT[name].data.model_validate_json(json.dumps(event.data))
        assert (event.specversion, event.source, bool(event.time)) == ("1.0", f"/{world.subjects.prefix}", True)
    of_job = [event.type.removeprefix("io.reelyard.") for event in events if event.subject == job]
    assert of_job == ["JobCreated", "JobAssigned", "JobCompleting", "JobFinished", "VideoTranscoded"]
    assert isinstance(events[-1].data, dict)
    assert (events[-1].data["job_id"], events[-1].data["user_metadata"]) == (job, {"title": "a"})
    async with asyncio.timeout(20):
        await until(_any(live))
    EVENTS_OUT["EngineHeartbeat"].data.model_validate_json(json.dumps(CloudEvent.model_validate_json(live[0]).data))


async def test_events_wait_for_a_broker_that_is_away_and_come_in_their_order_once(world: Ground) -> None:
    await world.broker.kill()
    ids = [(await world.server.submit())["job_id"] for _ in range(5)]
    await world.broker.start()
    kept = await world.until("EVENTS", lambda found: len(_created(found)) >= len(ids))
    assert _created(kept) == ids
    assert Counter(message.headers[MESSAGE_ID] for message in kept if message.headers).most_common(1)[0][1] == 1


def _created(kept: list[RawStreamMsg]) -> list[str]:
    events = [CloudEvent.model_validate_json(message.data or b"") for message in kept]
    return [event.subject or "" for event in events if event.type.endswith("JobCreated")]


def _any(live: list[bytes]) -> Callable[[], Awaitable[bool]]:
    async def is_any() -> bool:
        return bool(live)

    return is_any
