"""Webhooks over HTTP: endpoints, secrets, deliveries, who sees what, and what stands in the audit log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from config.dispatch import Api, Webhooks
from protocol.notices import WebhookMessage
from tests.contract.api_server import Answer, Server, head_of, served, until
from tests.contract.webhook_receiver import Received, Receiver, receiver

HOOKS = "/api/v1/webhooks"


@asynccontextmanager
async def told(data: Path) -> AsyncIterator[tuple[Server, Receiver]]:
    """A server that may send to the receiver beside it."""
    async with receiver() as to:
        sections = {
            "webhooks": Webhooks(allow_private_addresses=True, ports=(to.port,)),
            "api": Api(public_url="https://reel.example/"),
        }
        async with served(data, sections=sections) as server:
            yield server, to


async def endpoint(server: Server, url: str, *, key: str = "", **fields: Any) -> Answer:  # JSON
    return await server.call("POST", f"{HOOKS}/endpoints", key=key, json={"url": url, **fields})


async def cancelled(server: Server, *, key: str = "", **fields: object) -> str:
    """A job that has ended, without an engine."""
    job = await server.submit(key=key, **fields)
    answer = await server.call("POST", f"/api/v1/jobs/{job['job_id']}/cancel", key=key)
    assert answer.status == 200
    job_id: str = job["job_id"]
    return job_id


async def deliveries(server: Server, query: str = "", *, key: str = "") -> list[dict[str, Any]]:  # JSON
    answer = await server.call("GET", f"{HOOKS}/deliveries{query}", key=key)
    assert answer.status == 200, answer.body
    found: list[dict[str, Any]] = answer.json["deliveries"]
    return found


async def test_an_endpoint_is_made_changed_and_removed(tmp_path: Path) -> None:
    async with told(tmp_path) as (server, to):
        made = await endpoint(server, to.url("/in"), description="ours")
        place = made.headers["Location"]
        changed = await server.call("PATCH", place, json={"events": ["job.failed"], "enabled": False})
        shown = await server.call("GET", place)
        listed = await server.call("GET", f"{HOOKS}/endpoints")
        removed = await server.call("DELETE", place)
        gone = await server.call("GET", place)

    assert (made.status, made.headers["Cache-Control"]) == (201, "no-store")
    assert made.json["secret"].startswith("whsec_")
    assert made.json["events"] == ["job.cancelled", "job.completed", "job.failed"]
    assert (changed.json["events"], changed.json["enabled"], changed.json["version"]) == (["job.failed"], False, 2)
    assert (shown.json, listed.json["endpoints"]) == (changed.json, [changed.json])
    assert "secret" not in shown.json
    assert (removed.status, head_of(gone)) == (200, (404, "ENDPOINT_NOT_FOUND"))


async def test_the_same_key_makes_one_endpoint_and_shows_its_secret_again(tmp_path: Path) -> None:
    async with told(tmp_path) as (server, to):
        body = {"url": to.url("/in")}
        headers = {"Idempotency-Key": "endpoint-1"}
        first, second = [await server.call("POST", f"{HOOKS}/endpoints", json=body, headers=headers) for _ in range(2)]
        listed = await server.call("GET", f"{HOOKS}/endpoints")

    assert (first.json, second.headers["Idempotent-Replayed"]) == (second.json, "true")
    assert second.headers["Cache-Control"] == "no-store"
    assert listed.json["total"] == 1


@pytest.mark.parametrize(
    "url",
    ["http://169.254.169.254/", "https://user:pw@hooks.example/", "https://hooks.example:22/", "http://0x7f.1/", "http://[::]/"],
)
async def test_a_url_that_leads_inside_is_refused_at_once(tmp_path: Path, url: str) -> None:
    async with served(tmp_path) as server:
        made = await endpoint(server, url)
        submitted = await server.call("POST", "/api/v1/jobs", json={"profile": "noop", "webhook_url": url})
        job = await server.call("POST", "/api/v1/jobs", json={"profile": "noop"})
        patched = await server.call(
            "PATCH", job.headers["Location"], json={"webhook_url": url}, headers={"If-Match": job.headers["ETag"]}
        )

    assert {head_of(one) for one in (made, submitted, patched)} == {(422, "WEBHOOK_URL_REFUSED")}


@pytest.mark.parametrize(
    "fields",
    [
        {"url": "ftp://a.example/"},
        {"url": 5},
        {"events": []},
        {"events": ["webhook.test2"]},
        {"more": 1},
        {"description": "x" * 201},
    ],
)
async def test_a_malformed_endpoint_is_refused(tmp_path: Path, fields: dict[str, Any]) -> None:
    async with served(tmp_path) as server:
        made = await server.call("POST", f"{HOOKS}/endpoints", json={"url": "https://a.example/", **fields})

    assert head_of(made) == (422, "VALIDATION_FAILED")


async def test_a_tenant_has_at_most_twenty_endpoints(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        made = [await endpoint(server, "https://hooks.example/") for _ in range(21)]

    assert [one.status for one in made] == [201] * 20 + [409]
    assert (made[-1].code, made[-1].json["error"]["details"]) == ("ENDPOINT_LIMIT", {"most": 20})


async def test_a_test_delivery_tells_what_came_back(tmp_path: Path) -> None:
    async with told(tmp_path) as (server, to):
        to.answers["/in"] = [200, 503]
        made = await endpoint(server, to.url("/in"))
        tests = [await server.call("POST", f"{made.headers['Location']}/test") for _ in range(2)]
        kept = await deliveries(server)

    assert [(one.json["delivered"], one.json["status"], one.json["error"]) for one in tests] == [
        (True, 200, None),
        (False, 503, "answered 503"),
    ]
    assert [(one.event, one.id) for one in to.got] == [("webhook.test", one.json["delivery_id"]) for one in tests]
    assert all(one.is_signed_with(made.json["secret"]) for one in to.got)
    assert kept == []


async def test_secrets_are_shown_to_writers_and_rotated(tmp_path: Path) -> None:
    async with told(tmp_path) as (server, to):
        made = await endpoint(server, to.url("/in"))
        place = f"{made.headers['Location']}/secret"
        for secret, first in ((place, made.json["secret"]), (f"{HOOKS}/secret", None)):
            shown = await server.call("GET", secret)
            rotated = await server.call("POST", f"{secret}/rotate")
            again = await server.call("GET", secret)

            assert shown.json["secret"] == (first or shown.json["secret"])
            assert shown.json["previous_until"] is None
            assert rotated.json["secret"] != shown.json["secret"]
            assert rotated.json["previous_until"] is not None
            assert (again.json, again.headers["Cache-Control"]) == (rotated.json, "no-store")


async def test_a_job_tells_its_own_url_and_the_delivery_is_logged(tmp_path: Path) -> None:
    async with told(tmp_path) as (server, to):
        job_id = await cancelled(server, webhook_url=to.url("/own"), metadata={"title": "Opening night"})
        (got,) = await to.until(1)
        secret = (await server.call("GET", f"{HOOKS}/secret")).json["secret"]
        await until(lambda: _has(server, f"?job_id={job_id}&state=delivered"))
        (row,) = await deliveries(server)
        shown = await server.call("GET", f"{HOOKS}/deliveries/{row['delivery_id']}")
        job = await server.call("GET", f"/api/v1/jobs/{job_id}")

    assert got.is_signed_with(secret)
    assert got.told["data"]["links"] == {"self": f"https://reel.example/api/v1/jobs/{job_id}"}
    assert (row["event"], row["endpoint_id"], row["url"], row["attempts"]) == ("job.cancelled", None, to.url("/own"), 1)
    assert shown.json["payload"] == got.told
    assert [(entry["status"], entry["error"]) for entry in shown.json["tries"]] == [(200, None)]
    assert {name: value for name, value in shown.json.items() if name in row} == row
    assert job.json["webhook_url"] == to.url("/own")
    assert [step["status"] for step in job.json["tasks"] if step["name"] == "send_notification"] in ([], ["completed"])


async def _has(server: Server, query: str) -> bool:
    return bool(await deliveries(server, query))


async def test_a_batch_a_form_and_a_server_path_take_a_webhook(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "clip.mp4").write_bytes(b"\x00\x00\x00\x18ftypmp42clip")
    url = "https://hooks.example/"
    async with served(tmp_path / "data", allowed_roots=[str(tmp_path / "in")]) as server:
        batch = await server.call("POST", "/api/v1/jobs/batch", json={"jobs": [{"profile": "noop", "webhook_url": url}]})
        path = await server.call(
            "POST", "/api/v1/jobs/filesystem", json={"file_path": str(tmp_path / "in" / "clip.mp4"), "webhook_url": url}
        )
        form = {"webhook_url": url, "file": BytesIO(b"\x00\x00\x00\x18ftypmp42clip")}
        uploaded = await server.call("POST", "/api/v1/jobs/upload", data=form)
        ids = [batch.json["jobs"][0]["job_id"], path.json["job_id"], uploaded.json["job_id"]]
        jobs = [await server.call("GET", f"/api/v1/jobs/{job_id}") for job_id in ids]

    assert [job.json["webhook_url"] for job in jobs] == [url] * 3


async def test_a_dead_delivery_is_sent_again_on_request(tmp_path: Path) -> None:
    async with told(tmp_path) as (server, to):
        to.answers["/own"] = [410]
        job_id = await cancelled(server, webhook_url=to.url("/own"))
        await until(lambda: _has(server, "?state=dead"))
        (row,) = await deliveries(server)
        asked = await server.call("POST", f"{HOOKS}/deliveries/{row['delivery_id']}/redeliver")
        await until(lambda: _has(server, f"?state=delivered&event=job.cancelled&job_id={job_id}"))

    assert (asked.status, asked.json["state"], asked.json["attempts"]) == (202, "pending", 0)
    assert to.got[0].id == to.got[1].id == row["delivery_id"]
    assert to.got[0].body == to.got[1].body


async def test_deliveries_of_another_tenant_are_refused_to_who_asks_for_them(tmp_path: Path) -> None:
    async with told(tmp_path) as (server, _):
        await server.new_tenant("acme")
        key = await server.new_key("jobs:read", tenant="acme")
        foreign = await server.call("GET", f"{HOOKS}/deliveries?tenant=default", key=key)
        own = await server.call("GET", f"{HOOKS}/deliveries?tenant=acme", key=key)

    assert (head_of(foreign), own.status, own.json["deliveries"]) == ((422, "VALIDATION_FAILED"), 200, [])


async def test_slow_receivers_of_one_tenant_hold_up_no_others_tests(tmp_path: Path) -> None:
    gate, begun = asyncio.Event(), asyncio.Semaphore(0)

    async def slow(_: Received) -> web.StreamResponse:
        begun.release()
        await gate.wait()
        return web.Response()

    async with told(tmp_path) as (server, to):
        to.always["/slow"] = slow
        await server.new_tenant("acme")
        key = await server.new_key("jobs:read", "jobs:write", tenant="acme")
        made = await endpoint(server, to.url("/slow"))
        theirs = await endpoint(server, to.url("/fast"), key=key)
        async with asyncio.TaskGroup() as group:
            tests = [group.create_task(server.call("POST", f"{made.headers['Location']}/test")) for _ in range(10)]
            for _ in range(2):
                await begun.acquire()
            fast = await server.call("POST", f"{theirs.headers['Location']}/test", key=key)
            at_once = len(to.got)
            gate.set()

    assert (fast.json["delivered"], at_once) == (True, 3)
    assert [one.result().json["delivered"] for one in tests] == [True] * 10


async def _none_is_left(server: Server, query: str) -> bool:
    return not await deliveries(server, query)


async def test_a_purge_is_told_after_all_else_of_the_job(tmp_path: Path) -> None:
    async with told(tmp_path) as (server, to):
        await endpoint(server, to.url("/in"), events=["job.purged", "job.cancelled"])
        job_id = await cancelled(server)
        purged = await server.call("DELETE", f"/api/v1/jobs/{job_id}?purge=true")
        got = await to.until(2)
        await until(lambda: _none_is_left(server, f"?job_id={job_id}"))

    assert purged.status == 200
    assert [one.event for one in got] == ["job.cancelled", "job.purged"]
    assert got[1].told["data"]["job_id"] == job_id
    assert WebhookMessage.model_validate_json(got[1].body).type == "job.purged"


async def test_deliveries_are_listed_by_page_and_filter(tmp_path: Path) -> None:
    async with told(tmp_path) as (server, to):
        made = await endpoint(server, to.url("/in"), events=["job.created", "job.cancelled"])
        job_ids = [await cancelled(server) for _ in range(3)]
        await to.until(6)
        whole = await deliveries(server)
        first = await server.call("GET", f"{HOOKS}/deliveries?limit=4")
        second = await server.call("GET", first.json["next_page_url"])
        by_job = await deliveries(server, f"?job_id={job_ids[1]}")
        by_event = await deliveries(server, "?event=job.created")
        by_endpoint = await deliveries(server, f"?endpoint_id={made.json['endpoint_id']}")
        refused = await server.call("GET", f"{HOOKS}/deliveries?state=lost")

    ids = [row["delivery_id"] for row in whole]
    assert ids == sorted(ids, reverse=True)
    assert [row["delivery_id"] for row in (*first.json["deliveries"], *second.json["deliveries"])] == ids
    assert (first.json["total"], second.json["next_cursor"]) == (6, None)
    assert {row["job_id"] for row in by_job} == {job_ids[1]}
    assert [row["event"] for row in by_event] == ["job.created"] * 3
    assert len(by_endpoint) == 6
    assert head_of(refused) == (422, "VALIDATION_FAILED")


async def test_another_tenant_sees_nothing(tmp_path: Path) -> None:
    async with told(tmp_path) as (server, to):
        await server.new_tenant("acme")
        theirs = await server.new_key("jobs:read", "jobs:write", tenant="acme")
        made = await endpoint(server, to.url("/in"))
        await cancelled(server)
        await to.until(1)
        (row,) = await deliveries(server)
        place, delivery = made.headers["Location"], f"{HOOKS}/deliveries/{row['delivery_id']}"
        calls = [
            ("GET", place),
            ("PATCH", place),
            ("DELETE", place),
            ("POST", f"{place}/test"),
            ("GET", f"{place}/secret"),
            ("POST", f"{place}/secret/rotate"),
            ("GET", delivery),
            ("POST", f"{delivery}/redeliver"),
        ]
        refused = [await server.call(method, path, key=theirs, json={} if method == "PATCH" else None) for method, path in calls]
        lists = [await server.call("GET", f"{HOOKS}/{what}", key=theirs) for what in ("endpoints", "deliveries")]
        ours, own = [await server.call("GET", f"{HOOKS}/secret", key=key) for key in ("", theirs)]
        kept = await server.call("GET", place)

    assert {one.code for one in refused} == {"ENDPOINT_NOT_FOUND", "DELIVERY_NOT_FOUND"}
    assert {one.status for one in refused} == {404}
    assert [one.json["total"] for one in lists] == [0, 0]
    assert ours.json["secret"] != own.json["secret"]
    assert kept.json["version"] == 1


async def test_a_reader_changes_nothing_and_sees_no_secret(tmp_path: Path) -> None:
    async with told(tmp_path) as (server, to):
        reader = await server.new_key("jobs:read")
        made = await endpoint(server, to.url("/in"))
        place = made.headers["Location"]
        calls = [
            ("POST", f"{HOOKS}/endpoints"),
            ("PATCH", place),
            ("DELETE", place),
            ("POST", f"{place}/test"),
            ("GET", f"{place}/secret"),
            ("GET", f"{HOOKS}/secret"),
            ("POST", f"{HOOKS}/secret/rotate"),
        ]
        refused = [await server.call(method, path, key=reader) for method, path in calls]
        seen = await server.call("GET", place, key=reader)

    assert {head_of(one) for one in refused} == {(403, "FORBIDDEN")}
    assert seen.status == 200


async def test_changes_stand_in_the_audit_log_without_secrets(tmp_path: Path) -> None:
    async with told(tmp_path) as (server, to):
        made = await endpoint(server, to.url("/in?token=geheim"))
        await server.call("PATCH", made.headers["Location"], json={"url": to.url("/other?token=geheim")})
        rotated = await server.call("POST", f"{made.headers['Location']}/secret/rotate")
        await server.call("POST", f"{HOOKS}/secret/rotate")
        await server.call("DELETE", made.headers["Location"])
        log = await server.call("GET", "/api/v1/admin/audit")

    actions = [row["action"] for row in log.json["audit"] if "webhook" in row["action"] or "secret" in row["action"]]
    assert sorted(actions) == [
        "create_webhook_endpoint",
        "delete_webhook_endpoint",
        "patch_webhook_endpoint",
        "rotate_endpoint_secret",
        "rotate_webhook_secret",
    ]
    assert b"geheim" not in log.body
    assert rotated.json["secret"].encode() not in log.body
