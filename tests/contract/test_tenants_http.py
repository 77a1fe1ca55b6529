"""Operators' calls over HTTP: tenants, profiles, usage, figures, health of each part, settings in force."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from protocol import figures
from tests.contract.api_server import Answer, Json, Server, head_of, served

TENANTS, PROFILES = "/api/v1/admin/tenants", "/api/v1/profiles"
FIGURES = set(figures.Figures.model_fields)


def renditions(*names: str) -> list[Json]:
    return [
        {
            "name": name,
            "height": 360,
            "crf": 23,
            "profile": "main",
            "level": "3.1",
            "audio": {"codec": "aac", "bitrate": 128000, "sample_rate": 48000},
            "min_source_width": 16,
            "min_source_height": 16,
        }
        for name in names
    ]


async def patch(server: Server, path: str, tag: str, **fields: Any) -> Answer:  # JSON
    return await server.call("PATCH", path, json=fields, headers={"If-Match": tag})


async def test_a_tenant_is_made_looked_at_and_changed(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        made = await server.call("POST", TENANTS, json={"name": "acme", "max_running": 2, "prefix": "archive"})
        seen = await server.call("GET", f"{TENANTS}/acme")
        held = await server.call("GET", f"{TENANTS}/acme", headers={"If-None-Match": '"1"'})
        changed = await patch(server, f"{TENANTS}/acme", '"1"', max_running=None, weight=2.5)
        stale = await patch(server, f"{TENANTS}/acme", '"1"', weight=3.0)
        bare = await server.call("PATCH", f"{TENANTS}/acme", json={"weight": 3.0})
        unknown = await server.call("GET", f"{TENANTS}/nobody")
        twice = await server.call("POST", TENANTS, json={"name": "acme"})

    assert (made.status, made.headers["Location"], made.headers["ETag"]) == (201, f"{TENANTS}/acme", '"1"')
    assert seen.json == made.json
    assert {name: seen.json[name] for name in ("max_running", "max_queued", "prefix", "weight", "version")} == {
        "max_running": 2,
        "max_queued": None,
        "prefix": "archive",
        "weight": 1.0,
        "version": 1,
    }
    assert held.status == 304
    assert (changed.status, changed.headers["ETag"], changed.json["max_running"], changed.json["weight"]) == (
        200,
        '"2"',
        None,
        2.5,
    )
    assert [head_of(answer) for answer in (stale, bare, unknown, twice)] == [
        (412, "PRECONDITION_FAILED"),
        (428, "PRECONDITION_REQUIRED"),
        (404, "TENANT_NOT_FOUND"),
        (422, "VALIDATION_FAILED"),
    ]


async def test_a_submission_beyond_the_quota_is_told_so(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        await server.call("POST", TENANTS, json={"name": "acme", "max_queued": 1})
        key = await server.new_key("jobs:read", "jobs:write", tenant="acme")
        await server.submit(key=key)
        refused = await server.call("POST", "/api/v1/jobs", key=key, json={"profile": "noop"})
        other = await server.submit()

    assert head_of(refused) == (429, "QUOTA_EXCEEDED")
    assert refused.json["error"]["details"] == {"quota": "max_queued", "limit": 1, "used": 1}
    assert (refused.headers["Retry-After"], other["status"]) == ("30", "pending")


@pytest.mark.parametrize("path", ["/api/v1/engines", TENANTS, "/api/v1/admin/api-keys", PROFILES, "/api/v1/jobs?metadata.n=1"])
async def test_every_list_is_walked_by_its_next_page(tmp_path: Path, path: str) -> None:
    async with served(tmp_path) as server:
        for n in range(3):
            await server.new_tenant(f"t{n}")
            await server.new_key("jobs:read")
            await server.submit(metadata={"n": 1})
            await server.new_engine(name=f"box{n}")
        whole = (await server.call("GET", path)).json
        name = next(field for field, value in whole.items() if isinstance(value, list))
        seen: list[Json] = []
        url: str | None = f"{path}{'&' if '?' in path else '?'}limit=1"
        while url is not None:
            page = (await server.call("GET", url)).json
            seen += page[name]
            url = page["next_page_url"]

    assert seen == whole[name]
    assert (whole["total"], whole["total_count"], whole["next_cursor"]) == (len(seen), len(seen), None)
    assert len(seen) >= 2


async def test_a_page_keeps_every_filter(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        for n in range(3):
            await server.submit(metadata={"show": {"id": n % 2}}, priority=n + 1)
        query = "metadata.show.id=0&q=job_&sort=priority&order=asc&status=pending&limit=1"
        first = (await server.call("GET", f"/api/v1/jobs?{query}")).json
        second = (await server.call("GET", first["next_page_url"])).json
        both = await server.call("GET", f"{first['next_page_url']}&offset=1")
        unknown = await server.call("GET", "/api/v1/jobs?metadata=1")

    assert [job["priority"] for job in (*first["jobs"], *second["jobs"])] == [1, 3]
    assert (first["total"], second["next_page_url"]) == (2, None)
    assert [head_of(answer) for answer in (both, unknown)] == [(422, "VALIDATION_FAILED")] * 2


async def test_figures_are_the_farms_for_admins_and_ones_own_for_others(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        await server.new_tenant("acme")
        key = await server.new_key("jobs:read", "jobs:write", tenant="acme")
        await server.submit(key=key, tags=["site:mars"])
        engine = await server.new_engine()
        await server.submit()
        granted = await server.lease(engine, "req-1")
        await server.report(engine, granted["tasks"][0], "start")
        busy = (await server.call("GET", "/api/v1/stats")).json
        await server.report(engine, granted["tasks"][0], "complete", result={})
        farm = (await server.call("GET", "/api/v1/stats")).json
        own = (await server.call("GET", "/api/v1/stats", key=key)).json
        usage = (await server.call("GET", "/api/v1/admin/usage?tenant=default")).json

    assert set(farm) == {*FIGURES, "tenants", "scaling"}
    assert (busy["engine_utilization_percent"], busy["worker_utilization_percent"]) == (100.0, 100.0)
    assert (farm["total_jobs"], farm["pending"], farm["processing"], farm["completed"]) == (2, 1, 0, 1)
    assert set(farm["tenants"]) == {"acme", "default"}
    assert {name: farm["tenants"]["acme"][name] for name in FIGURES} == {name: own[name] for name in FIGURES}
    assert (own["total_jobs"], own["tenants"]) == (1, None)
    assert [(row["tenant"], row["jobs_created"], row["jobs_completed"]) for row in usage["usage"]] == [("default", 1, 1)]


async def test_usage_and_settings_are_for_admins(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        key = await server.new_key("jobs:read", "jobs:write")
        paths = ("/api/v1/admin/usage", "/api/v1/admin/config", TENANTS, f"{TENANTS}/default")
        refused = [await server.call("GET", path, key=key) for path in paths]
        put = await server.call("PUT", f"{PROFILES}/mine", key=key, json={"name": "mine", "thumbnails": {}})

    assert [head_of(answer) for answer in (*refused, put)] == [(403, "FORBIDDEN")] * 5


async def test_the_settings_in_force_are_told(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        told = await server.call("GET", "/api/v1/admin/config")

    assert told.json["settings"]["leases"]["lease_s"] == 60.0
    assert told.json["settings"]["data"] == str(tmp_path)


@pytest.mark.parametrize(
    ("part", "status"),
    [
        ("db", "ok"),
        ("storage", "ok"),
        ("minio", "ok"),
        ("queue", "ok"),
        ("redis", "ok"),
        ("engines", "none"),
        ("workers", "none"),
    ],
)
async def test_every_part_tells_how_it_is_without_a_key(tmp_path: Path, part: str, status: str) -> None:
    async with served(tmp_path) as server:
        told = await server.call("GET", f"/api/v1/health/{part}", key=None)

    assert (told.status, told.json["status"]) == (200, status)


async def test_health_is_all_parts_as_one(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        await server.new_engine()
        told = (await server.call("GET", "/api/v1/health", key=None)).json
        unknown = await server.call("GET", "/api/v1/health/kitchen", key=None)
        server.core.scheduler.hold("the storage is full")
        held = (await server.call("GET", "/api/v1/health/queue", key=None)).json

    assert set(told) == {"status", "services", "timestamp"}
    assert set(told["services"]) == {"db", "storage", "queue", "engines"}
    assert (told["status"], told["services"]["engines"]["message"]) == ("ok", "1/1 active")
    assert head_of(unknown) == (404, "ROUTE_NOT_FOUND")
    assert held == {"status": "unavailable", "message": "the storage is full"}


async def test_a_profile_is_put_in_used_changed_and_taken_out(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        profile = {"name": "mine", "description": "small", "renditions": renditions("360p")}
        put = await server.call("PUT", f"{PROFILES}/mine", json=profile)
        listed = [row["name"] for row in (await server.call("GET", PROFILES)).json["profiles"]]
        made = await server.call("POST", TENANTS, json={"name": "acme", "default_profile": "mine"})
        bare = await server.call("PUT", f"{PROFILES}/mine", json=profile)
        again = await server.call("PUT", f"{PROFILES}/mine", json=profile, headers={"If-Match": '"1"'})
        stale = await server.call("PUT", f"{PROFILES}/mine", json=profile, headers={"If-Match": '"1"'})
        absent = await server.call("PUT", f"{PROFILES}/new", json={**profile, "name": "new"}, headers={"If-Match": "*"})
        used = await server.call("DELETE", f"{PROFILES}/mine")
        await patch(server, f"{TENANTS}/acme", made.headers["ETag"], default_profile=None)
        gone = await server.call("DELETE", f"{PROFILES}/mine", headers={"If-Match": again.headers["ETag"]})
        missing = [await server.call(method, f"{PROFILES}/mine") for method in ("GET", "DELETE")]

    assert (put.status, put.headers["ETag"], put.json["renditions"][0]["name"]) == (200, '"1"', "360p")
    assert "mine" in listed
    assert listed == sorted(listed)
    assert (made.status, again.headers["ETag"], gone.json) == (201, '"2"', {"status": "deleted"})
    assert [head_of(answer) for answer in (bare, stale, absent, used, *missing)] == [
        (428, "PRECONDITION_REQUIRED"),
        (412, "PRECONDITION_FAILED"),
        (412, "PRECONDITION_FAILED"),
        (409, "PROFILE_IN_USE"),
        (404, "NO_SUCH_PROFILE"),
        (404, "NO_SUCH_PROFILE"),
    ]


async def test_the_servers_own_profiles_cannot_be_changed(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        web = await server.call("GET", f"{PROFILES}/web")
        held = await server.call("GET", f"{PROFILES}/web", headers={"If-None-Match": web.headers["ETag"]})
        put = await server.call("PUT", f"{PROFILES}/web", json=web.json)
        deleted = await server.call("DELETE", f"{PROFILES}/web")

    assert (web.status, web.json["name"], held.status) == (200, "web", 304)
    assert [head_of(answer) for answer in (put, deleted)] == [(409, "PROFILE_BUILT_IN")] * 2


@pytest.mark.parametrize(
    "profile",
    [
        {"name": "other", "thumbnails": {}},
        {"name": "mine"},
        {"name": "mine", "hls": {}, "thumbnails": {}},
        {"name": "mine", "noop_seconds": 1.0},
        {"name": "mine", "renditions": renditions("a", "a")},
        {"name": "mine", "renditions": [{**renditions("a")[0], "encoders": ["libx264 -y /etc/passwd"]}]},
    ],
)
async def test_a_profile_that_makes_no_sense_is_refused(tmp_path: Path, profile: Json) -> None:
    async with served(tmp_path) as server:
        refused = await server.call("PUT", f"{PROFILES}/mine", json=profile)

    assert head_of(refused) == (422, "VALIDATION_FAILED")


async def test_no_more_of_a_tenant_is_handed_out_than_it_may_run(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        await server.call("POST", TENANTS, json={"name": "acme", "max_running": 1})
        key = await server.new_key("jobs:read", "jobs:write", tenant="acme")
        jobs = [await server.submit(key=key) for _ in range(3)]
        engine = await server.new_engine()
        first = await server.lease(engine, "req-1", slots=4)
        why = await server.call("GET", f"/api/v1/jobs/{jobs[2]['job_id']}/why", key=key)
        empty = await server.lease(engine, "req-2", slots=4, wait_s=0.0)
        await server.report(engine, first["tasks"][0], "complete", result={})
        second = await server.lease(engine, "req-3", slots=4)
        await patch(server, f"{TENANTS}/acme", '"1"', max_running=None)
        third = await server.lease(engine, "req-4", slots=4)

    assert [len(told["tasks"]) for told in (first, empty, second, third)] == [1, 0, 1, 1]
    assert why.json["summary"] == "noop waits for another task of its tenant to end: 1 runs, and no more may."
