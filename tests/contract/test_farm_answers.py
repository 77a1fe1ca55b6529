"""What a server that follows answers: engines are pointed at the leader, what only the leader knows is asked there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from yarl import URL

from client.stream import LiveProgress
from config.dispatch import DispatchSettings
from dispatch.api.closing import DOOR
from dispatch.api.leaders import PASSED_ON
from dispatch.app.assembly import assemble
from dispatch.services.claims import NOBODY, ROUTE
from protocol.operations import OPERATIONS, Follower
from tests.contract.api_server import ENGINE, UNCOUNTED, Answer, Server, head_of, until
from tests.contract.farm_of_two import Two, two
from tests.contract.test_api_streams import Stream, opened
from tests.contract.test_uploads_tus import BYTES, FILM, begun, offset, send

BEAT = {
    "boot_id": "boot-0001",
    "state": "online",
    "load": {},
    "slots": {"encoding": 1, "light": 2, "free_encoding": 1, "free_light": 2},
}
STEP = {"name": "noop", "state": "running", "progress": 0.4}
LEASE = {"boot_id": "boot-0001", "slots": 0, "light_slots": 0, "wait_s": 0.0, "request_id": "poll-0001"}


@pytest.fixture
async def farm(tmp_path: Path) -> AsyncIterator[Two]:
    async with two(tmp_path) as made:
        yield made


@pytest.fixture(params=["inline", "postgres"])
async def either(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Two]:
    """Also with two stores on one PostgreSQL, which learn of each other's commits by themselves."""
    async with two(tmp_path, adapter=request.param) as made:
        yield made


def told_leader(answer: Answer) -> object:
    return answer.json["error"]["details"]["leader"]


async def is_inside(server: Server) -> bool:
    return server.web.app[DOOR].inside > 0


async def calls_of(server: Server, engine: tuple[str, str]) -> list[Answer]:
    """Every call that the leader alone answers to engines."""
    path, key = f"/api/v1/engines/{engine[0]}", engine[1]
    token = server.core.outside.secrets.registration
    return [
        await server.call("POST", "/api/v1/engines/register", key=token, json=ENGINE),
        await server.call("POST", f"{path}/heartbeat", key=key, json=BEAT),
        await server.call("POST", f"{path}/lease", key=key, json=LEASE),
        await server.call("POST", f"{path}/offline", key=key, json={"boot_id": "boot-0001"}),
    ]


def test_the_calls_that_need_the_leader_are_marked() -> None:
    marked = {
        kind: [operation.name for operation in OPERATIONS if operation.at_follower is kind]
        for kind in (Follower.POINTS, Follower.PASSES_ON)
    }

    assert marked == {
        Follower.POINTS: ["register_engine", "heartbeat", "lease", "engine_offline"],
        Follower.PASSES_ON: ["why_job"],
    }


async def test_a_follower_points_engines_at_the_leader(either: Two) -> None:
    engine = await either.leader.new_engine()

    answers = await calls_of(either.follower, engine)

    assert [head_of(answer) for answer in answers] == [(421, "NOT_LEADER")] * 4
    assert {told_leader(answer) for answer in answers} == {either.leader.url}
    assert all("Retry-After" not in answer.headers for answer in answers)


async def test_while_nobody_leads_engines_hear_when_to_ask_again(farm: Two) -> None:
    engine = await farm.leader.new_engine()
    farm.follower.core.cluster.lead.row = None

    answers = await calls_of(farm.follower, engine)

    assert [(answer.code, told_leader(answer), answer.headers["Retry-After"]) for answer in answers] == [
        ("NOT_LEADER", None, "1")
    ] * 4


async def test_strangers_are_pointed_nowhere(farm: Two) -> None:
    engine = await farm.leader.new_engine()

    path = f"/api/v1/engines/{engine[0]}"
    answers = [
        await farm.follower.call("POST", "/api/v1/engines/register", key="rt_guess", json=ENGINE),
        await farm.follower.call("POST", f"{path}/heartbeat", key="guess", json=BEAT),
        await farm.follower.call("POST", f"{path}/lease", key=None, json=LEASE),
    ]

    assert [head_of(answer) for answer in answers] == [(401, "UNAUTHORIZED")] * 3


async def test_a_poll_is_pointed_on_when_the_server_leads_no_more(farm: Two) -> None:
    engine = await farm.leader.new_engine()
    body = {**LEASE, "wait_s": 20.0}
    async with asyncio.TaskGroup() as owner:
        polling = owner.create_task(farm.leader.call("POST", f"/api/v1/engines/{engine[0]}/lease", key=engine[1], json=body))
        await until(lambda: is_inside(farm.leader))
        farm.leader.core.cluster.leadership.stop()
        answer = await polling

    assert head_of(answer) == (421, "NOT_LEADER")


async def test_why_a_job_waits_is_told_by_every_server(either: Two) -> None:
    await either.leader.new_engine(tags=["site:oslo"])
    job = await either.leader.submit(tags=["site:rome"])
    path = f"/api/v1/jobs/{job['job_id']}/why"

    of_leader, of_follower = await either.leader.call("GET", path), await either.follower.call("GET", path)

    assert len(of_leader.json["engines"]) == 1
    assert (of_follower.status, of_follower.json) == (200, of_leader.json)
    assert await missing(either.follower) == await missing(either.leader)


async def missing(server: Server) -> tuple[int, str]:
    return head_of(await server.call("GET", "/api/v1/jobs/job_none/why"))


async def test_a_call_keeps_its_id_where_it_is_passed_on(farm: Two) -> None:
    answer = await farm.follower.call("GET", "/api/v1/jobs/job_none/why", headers={"X-Request-Id": "request-0001"})

    assert answer.json["error"]["request_id"] == "request-0001"


async def test_no_call_is_passed_on_twice(farm: Two) -> None:
    farm.leader.core.cluster.lead.is_loaded = False
    job = await farm.follower.submit()

    answer = await farm.follower.call("GET", f"/api/v1/jobs/{job['job_id']}/why")

    assert (head_of(answer), answer.headers["Retry-After"]) == ((421, "NOT_LEADER"), "1")


async def test_a_call_that_names_a_host_too_goes_to_the_leader_and_nowhere_else(farm: Two) -> None:
    """`http://leader` and `pany://x/...` put together would be another host."""
    job = await farm.leader.submit()
    told = URL(farm.follower.url)
    reader, writer = await asyncio.open_connection(told.host, told.port)
    target = f"pany://x/api/v1/jobs/{job['job_id']}/why"
    writer.write(f"GET {target} HTTP/1.1\r\nHost: x\r\nX-API-Key: {farm.leader.key}\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


async def test_a_leader_that_does_not_answer_is_told_as_none(farm: Two) -> None:
    job = await farm.follower.submit()
    await farm.leader.web.cleanup()

    answer = await farm.follower.call("GET", f"/api/v1/jobs/{job['job_id']}/why")

    assert (head_of(answer), told_leader(answer), answer.headers["Retry-After"]) == ((421, "NOT_LEADER"), None, "1")


BEHIND_A_PROXY = replace(UNCOUNTED, trusted_proxies=("127.0.0.1/32",))
THERE = "192.0.2.7"


async def bound_key(server: Server) -> str:
    """A key that is good from one address alone."""
    body = {"name": "bound", "tenant": "default", "scopes": ["jobs:read"], "allowed_ips": [THERE]}
    made = await server.call("POST", "/api/v1/admin/api-keys", json=body)
    secret: str = made.json["api_key"]
    return secret


async def test_a_key_bound_to_an_address_is_good_where_its_call_is_passed_on(tmp_path: Path) -> None:
    async with two(tmp_path, BEHIND_A_PROXY) as farm:
        job, key = await farm.leader.submit(), await bound_key(farm.leader)
        path = f"/api/v1/jobs/{job['job_id']}/why"
        from_there = await farm.follower.call("GET", path, key=key, headers={"X-Forwarded-For": THERE})
        from_elsewhere = await farm.follower.call("GET", path, key=key)

    assert (from_there.status, from_elsewhere.status) == (200, 401)


@pytest.mark.parametrize("voucher", ["x", THERE, "A" * 80])
async def test_a_client_cannot_say_that_its_call_was_passed_on(tmp_path: Path, voucher: str) -> None:
    async with two(tmp_path, BEHIND_A_PROXY) as farm:
        job, key = await farm.leader.submit(), await bound_key(farm.leader)
        path = f"/api/v1/jobs/{job['job_id']}/why"
        answer = await farm.leader.call("GET", path, key=key, headers={PASSED_ON: voucher})

    assert head_of(answer) == (401, "UNAUTHORIZED")


async def test_a_voucher_is_good_for_a_minute(farm: Two) -> None:
    ours, theirs = farm.follower.core.services.vouchers, farm.leader.core.services.vouchers
    voucher = ours.issue(THERE)
    found = []
    for seconds in (0.0, 59.0, 2.0):
        farm.clock.advance(seconds)
        found.append(theirs.address_in(voucher))

    assert found == [THERE, THERE, None]


async def is_refused(server: Server, method: str, path: str, key: str, json: object = None) -> bool:
    answer = await server.call(method, path, key=key, json=json)
    return answer.status == 401 and answer.code == "UNAUTHORIZED"


async def test_a_key_revoked_at_one_server_is_dead_at_the_other(either: Two) -> None:
    key = await either.leader.new_key("jobs:read")
    before = await is_refused(either.follower, "GET", "/api/v1/jobs", key)
    listed = await either.leader.call("GET", "/api/v1/admin/api-keys")
    key_id = next(row["key_id"] for row in listed.json["api_keys"] if key.startswith(row["prefix"]))

    await either.leader.call("DELETE", f"/api/v1/admin/api-keys/{key_id}")

    assert not before
    async with asyncio.timeout(1.0):
        await until(lambda: is_refused(either.follower, "GET", "/api/v1/jobs", key))


async def test_a_registration_token_rotated_at_one_server_is_rotated_at_the_other(either: Two) -> None:
    turned = await either.follower.call("POST", "/api/v1/admin/registration-token/rotate")
    fresh, path = turned.json["registration_token"], "/api/v1/engines/register"

    async with asyncio.timeout(1.0):
        await until(lambda: is_refused(either.leader, "POST", path, "rt_registration", ENGINE))
    assert (await either.leader.call("POST", path, key=fresh, json=ENGINE)).status == 200


async def test_a_server_that_starts_after_a_rotation_goes_by_the_new_token_and_mends_its_file(farm: Two, tmp_path: Path) -> None:
    turned = await farm.leader.call("POST", "/api/v1/admin/registration-token/rotate")
    written: list[str] = []
    outside = replace(
        farm.follower.core.outside, secrets=replace(farm.follower.core.outside.secrets, write_registration=written.append)
    )
    late = assemble(outside, DispatchSettings(data=tmp_path / "late")).services.registration

    await late.load()

    fresh = turned.json["registration_token"]
    assert ([late.is_token(told) for told in ("rt_registration", fresh)], written) == ([False, True], [fresh])


async def test_one_idempotency_key_at_two_servers_makes_one_job(either: Two) -> None:
    headers, body = {"Idempotency-Key": "once-0001"}, {"profile": "noop"}

    answers = await asyncio.gather(
        *(server.call("POST", "/api/v1/jobs", headers=headers, json=body) for server in (either.leader, either.follower) * 5)
    )

    made = {answer.json["job_id"] for answer in answers if answer.status == 202}
    assert {head_of(answer) for answer in answers if answer.status != 202} <= {(409, "IDEMPOTENCY_IN_PROGRESS")}
    listed = await either.leader.call("GET", "/api/v1/jobs")
    assert [job["job_id"] for job in listed.json["jobs"]] == list(made)


async def test_a_drain_asked_of_a_follower_reaches_the_engine_at_once(either: Two) -> None:
    engine = await either.leader.new_engine()
    path, orders = f"/api/v1/engines/{engine[0]}", []
    for action in ("drain", "undrain"):
        body = {**LEASE, "wait_s": 20.0, "request_id": f"poll-{action}"}
        async with asyncio.TaskGroup() as owner:
            polling = owner.create_task(either.leader.call("POST", f"{path}/lease", key=engine[1], json=body))
            await until(lambda: is_inside(either.leader))
            await either.follower.call("POST", f"{path}/{action}")
        orders.append(polling.result().json["orders"])

    assert [[order["order"] for order in told] for told in orders] == [["drain"], ["undrain"]]


async def test_a_dry_run_at_a_follower_is_done_by_the_farm(farm: Two) -> None:
    found = await farm.follower.call("POST", "/api/v1/jobs/validate", json={"input": {"url": "https://example.com/a.mp4"}})

    assert head_of(found) == (503, "NO_ENGINE")


async def test_a_reader_goes_on_at_another_server_where_it_was_cut(either: Two) -> None:
    job = await either.leader.submit()
    path = f"/api/v1/jobs/{job['job_id']}"
    async with opened(either.leader, f"{path}/events") as response:
        first = await Stream(response).next()
    async with opened(either.follower, f"{path}/events", **{"Last-Event-ID": first.last_id}) as response:
        await until(lambda: watches(either.follower, job["job_id"]))
        await either.leader.call("POST", f"{path}/cancel")
        rest = await Stream(response).rest()

    assert (first.event, [message.event for message in rest]) == ("JobCreated", ["JobCancelled", "TaskChanged"])


async def watches(server: Server, job_id: str) -> bool:
    return server.core.services.hub.is_watched(job_id, "default")


async def test_progress_told_to_the_leader_is_seen_live_at_a_follower(either: Two) -> None:
    engine = await either.leader.new_engine()
    job = await either.leader.submit()
    grant = (await either.leader.lease(engine, "poll-0001"))["tasks"][0]
    await either.leader.report(engine, grant, "start")
    running = [{"task_id": grant["task_id"], "token": grant["token"], "started": True, "steps": [STEP]}]
    async with opened(either.follower, f"/api/v1/jobs/{job['job_id']}/events") as response:
        stream = Stream(response)
        while (await stream.next()).event != "TranscodingStarted":
            pass
        await until(lambda: watches(either.follower, job["job_id"]))
        await either.leader.call(
            "POST", f"/api/v1/engines/{engine[0]}/heartbeat", key=engine[1], json={**BEAT, "running": running}
        )
        told = await stream.next()

    assert (told.event, LiveProgress.model_validate_json(told.text).progress_percent) == ("ProgressUpdated", 40.0)


async def is_claimed(server: Server, what: str, name: str, tenant: str = "-") -> bool:
    row = await server.core.outside.store.read(lambda tx: tx.idempotency(tenant, ROUTE + what, name))
    return row is not None and row.boot_id != NOBODY


async def opening(first: bytes, rest: bytes, gate: asyncio.Event) -> AsyncIterator[bytes]:
    """A body of which the rest comes once the gate is open."""
    yield first
    await gate.wait()
    yield rest


def opened_gate() -> asyncio.Event:
    gate = asyncio.Event()
    gate.set()
    return gate


FORM_HEAD = b'--b\r\nContent-Disposition: form-data; name="priority"\r\n\r\n8\r\n'
FORM_FILE = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n' + FILM + b"\r\n--b--\r\n"


async def send_form(server: Server, key: str, gate: asyncio.Event) -> Answer:
    headers = {"Idempotency-Key": key, "Content-Type": "multipart/form-data; boundary=b"}
    body = opening(FORM_HEAD, FORM_FILE, gate)
    return await server.call("POST", "/api/v1/jobs/upload", headers=headers, data=body)


async def test_a_form_sent_to_two_servers_under_one_key_is_taken_in_once(either: Two) -> None:
    gate = asyncio.Event()
    async with asyncio.TaskGroup() as owner:
        first = owner.create_task(send_form(either.leader, "form-0001", gate))
        await until(lambda: is_claimed(either.leader, "upload_job", "form-0001", "default"))
        meanwhile = await send_form(either.follower, "form-0001", opened_gate())
        gate.set()
    again = await send_form(either.follower, "form-0001", opened_gate())

    assert (first.result().status, head_of(meanwhile)) == (202, (409, "IDEMPOTENCY_IN_PROGRESS"))
    assert (again.status, again.headers["Idempotent-Replayed"]) == (202, "true")
    assert again.json["job_id"] == first.result().json["job_id"]


async def test_two_servers_never_write_to_one_upload_at_once(either: Two) -> None:
    url, gate = await begun(either.leader, 10), asyncio.Event()
    headers = {**BYTES, "Upload-Offset": "0"}
    async with asyncio.TaskGroup() as owner:
        first = owner.create_task(either.leader.call("PATCH", url, headers=headers, data=opening(b"01234", b"56", gate)))
        await until(lambda: is_claimed(either.leader, "bytes", url.rpartition("/")[2]))
        meanwhile = await send(either.follower, url, 0, b"0123456789")
        gate.set()
    rest = await send(either.follower, url, 7, b"789")

    assert (first.result().status, head_of(meanwhile), rest.status) == (204, (423, "UPLOAD_LOCKED"), 204)
    assert await offset(either.leader, url) == 10
    blocks = await either.leader.core.outside.storage.read(f"uploads/{url.rpartition('/')[2]}")
    assert b"".join([block async for block in blocks]) == b"0123456789"


async def test_a_server_that_follows_is_ready_and_tells_when_nobody_leads(farm: Two) -> None:
    ready = await farm.follower.call("GET", "/readyz", key=None)
    led = await farm.follower.core.services.health.part("queue")
    farm.follower.core.cluster.lead.row = None
    alone = await farm.follower.core.services.health.part("queue")

    assert (ready.status, led.status) == (200, "ok")
    assert (alone.status, alone.message) == ("unavailable", "no dispatch server leads at the moment")
