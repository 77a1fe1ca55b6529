"""The words of HTTP every answer keeps: methods, lengths, dates, places, codings, origins, limits."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import zlib
from pathlib import Path

import pytest

from dispatch.api.wiring import Limits
from protocol.admin import Scope
from protocol.operations import OPERATIONS, STREAMS
from tests.contract.api_server import Answer, Server, head_of, served
from tests.contract.raw_http import get, line, post

JOBS = "/api/v1/jobs"
DATE = re.compile(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT")
ZIP = {"Accept-Encoding": "gzip"}
MANY = 8
"""The waits double from 1 s: among so many wrong keys in a row one is answered 429, however slow the machine."""

SPEAK_TUS = {"get_upload"}
"""Its HEAD is the protocol's own question for the offset, refused to whoever names no version."""


async def test_head_tells_what_get_would(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        job = (await server.submit())["job_id"]
        engine = (await server.new_engine())[0]
        known = {"job_id": job, "engine_id": engine}
        reads = [o for o in OPERATIONS if o.method == "GET" and o.gives not in STREAMS and o.name not in SPEAK_TUS]
        paths = {o.name: re.sub(r"\{(\w+)[^}]*\}", lambda found: known.get(found[1], "none"), o.path) for o in reads}
        differing = {}
        for name, path in paths.items():
            got, head = await server.call("GET", path), await server.call("HEAD", path)
            told = {
                field: (got.headers.get(field), head.headers.get(field)) for field in ("Content-Length", "ETag", "Content-Type")
            }
            if head.body or got.status != head.status or any(a != b for a, b in told.values()):
                differing[name] = (got.status, head.status, told)
        dates = [
            (await server.call("HEAD", paths[name])).headers["Last-Modified"] for name in ("get_job", "list_jobs", "healthz")
        ]

    assert (differing, len(paths) > 15, all(DATE.fullmatch(date) for date in dates)) == ({}, True, True)


async def test_every_route_tells_its_methods(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        asked = await server.call("OPTIONS", f"{JOBS}/job_1", key=None)
        refused = await server.call("POST", f"{JOBS}/job_1")
        nowhere = await server.call("OPTIONS", "/nowhere", key=None)

    methods = "DELETE, GET, HEAD, OPTIONS, PATCH"
    assert (asked.status, asked.headers["Allow"], asked.body) == (204, methods, b"")
    assert (*head_of(refused), refused.headers["Allow"]) == (405, "METHOD_NOT_ALLOWED", methods)
    assert head_of(nowhere) == (404, "ROUTE_NOT_FOUND")


async def test_what_is_made_says_where_it_is(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        job = await server.call("POST", JOBS, json={"profile": "noop"})
        key = await server.call("POST", "/api/v1/admin/api-keys", json={"name": "a", "scopes": ["jobs:read"]})
        tenant = await server.call("POST", "/api/v1/admin/tenants", json={"name": "acme"})

    assert [answer.headers["Location"] for answer in (job, key, tenant)] == [
        f"{JOBS}/{job.json['job_id']}",
        f"/api/v1/admin/api-keys/{key.json['key_id']}",
        "/api/v1/admin/tenants/acme",
    ]


async def raw_job(server: Server, accepted: str, *headers: str, path: str = "") -> tuple[int, dict[str, str], bytes]:
    async with line(server) as wire:
        wire.say(*get(path, f"X-API-Key: {server.key}", f"Accept-Encoding: {accepted}", *headers))
        told = await wire.answer(is_bare=any(header.startswith("If-None-Match") for header in headers))
    return told.status, told.headers, told.body


@pytest.mark.parametrize(("coding", "unpack"), [("gzip", gzip.decompress), ("deflate", zlib.decompress)])
async def test_long_json_comes_compressed_under_a_tag_of_its_own(tmp_path: Path, coding: str, unpack: object) -> None:
    async with served(tmp_path) as server:
        path = f"{JOBS}/{(await server.submit(metadata={'text': 'x' * 2000}))['job_id']}"
        plain = await server.call("GET", path)
        _, headers, body = await raw_job(server, coding, path=path)
        held, kept, _ = await raw_job(server, coding, f"If-None-Match: {headers['etag']}", path=path)
        changed = await server.call("PATCH", path, json={"priority": 7}, headers={"If-Match": headers["etag"]})

    assert (headers["content-encoding"], headers["etag"], headers["vary"]) == (coding, f'"1-{coding}"', "Accept-Encoding")
    assert unpack(body) == plain.body  # type: ignore[operator]  # one of the two functions above
    assert (plain.headers["ETag"], plain.headers["Vary"], "Content-Encoding" in plain.headers) == (
        '"1"',
        "Accept-Encoding",
        False,
    )
    assert (held, kept["etag"], kept["vary"], changed.status) == (304, headers["etag"], "Accept-Encoding", 200)


async def test_short_answers_secrets_streams_and_engine_calls_stay_plain(tmp_path: Path) -> None:
    long = "x" * 2000
    async with served(tmp_path) as server:
        engine = await server.new_engine()
        job = (await server.submit(metadata={"text": long}))["job_id"]
        name = {"name": "n" * 100, "scopes": [scope.value for scope in Scope if scope.value not in ("open", "registration")]}
        answers = {
            "short": await server.call("GET", "/healthz", headers=ZIP),
            "secret": await server.call("POST", "/api/v1/admin/api-keys", json=name, headers=ZIP),
            "lease": await server.call(
                "POST",
                f"/api/v1/engines/{engine[0]}/lease",
                key=engine[1],
                headers=ZIP,
                json={"boot_id": "boot-0001", "slots": 1, "light_slots": 2, "wait_s": 5, "request_id": "r"},
            ),
        }
        await server.call("DELETE", f"{JOBS}/{job}")
        answers["stream"] = await server.call("GET", f"{JOBS}/{job}/events", headers=ZIP)

    assert {name: "Content-Encoding" in answer.headers for name, answer in answers.items()} == dict.fromkeys(answers, False)
    assert answers["secret"].headers["Cache-Control"] == "no-store"


async def test_origins_are_off_by_default(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        answer = await server.call("GET", "/healthz", headers={"Origin": "https://a.example"})

    assert not [name for name in answer.headers if name.startswith("Access-Control")]


PREFLIGHT = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "x-api-key, if-match"}


async def test_listed_origin_may_read_and_another_may_not(tmp_path: Path) -> None:
    limits = Limits(cors_origins=("https://a.example",), playback_origins=("https://play.example",))
    async with served(tmp_path, limits) as server:
        path = f"{JOBS}/{(await server.submit())['job_id']}"
        asked = {
            origin: await server.call("OPTIONS", path, key=None, headers={"Origin": origin, **PREFLIGHT})
            for origin in ("https://a.example", "https://play.example", "https://b.example", "null")
        }
        read = await server.call("GET", path, headers={"Origin": "https://a.example"})
        failed = await server.call("GET", path, key=None, headers={"Origin": "https://a.example"})
        media = await server.call("GET", f"{path}/files/a.mp4", headers={"Origin": "https://play.example"})

    allowed = asked["https://a.example"].headers
    assert (allowed["Access-Control-Allow-Origin"], allowed["Access-Control-Allow-Credentials"]) == ("https://a.example", "true")
    assert allowed["Access-Control-Allow-Methods"] == "DELETE, GET, HEAD, OPTIONS, PATCH"
    assert {"X-API-Key", "If-Match", "Idempotency-Key"} <= set(allowed["Access-Control-Allow-Headers"].split(", "))
    assert [origin for origin, answer in asked.items() if "Access-Control-Allow-Origin" in answer.headers] == [
        "https://a.example"
    ]
    assert {"ETag", "Location", "RateLimit-Remaining", "X-Request-Id", "Idempotent-Replayed"} <= set(
        read.headers["Access-Control-Expose-Headers"].split(", ")
    )
    assert ("Origin" in read.headers.getall("Vary"), failed.headers["Access-Control-Allow-Origin"]) == (True, "https://a.example")  # type: ignore[attr-defined]  # a multidict
    assert media.headers["Access-Control-Allow-Origin"] == "https://play.example"


async def test_browser_asks_before_it_shows_a_key(tmp_path: Path) -> None:
    asking = {"Origin": "https://a.example", **PREFLIGHT}
    paths = {re.sub(r"\{[^}]*\}", "none", o.path) for o in OPERATIONS if o.path.startswith("/api/")}
    async with served(tmp_path, Limits(cors_origins=("https://a.example",))) as server:
        told = {path: await server.call("OPTIONS", path, key=None, headers=asking) for path in sorted(paths)}
        upload = await server.call("OPTIONS", "/api/v1/uploads")

    assert {answer.status for answer in told.values()} == {204}
    assert all(answer.headers["Access-Control-Allow-Methods"] == answer.headers["Allow"] for answer in told.values())
    assert (upload.status, upload.headers["Allow"]) == (204, told["/api/v1/uploads"].headers["Allow"])


async def test_any_origin_never_comes_with_credentials(tmp_path: Path) -> None:
    async with served(tmp_path, Limits(cors_origins=("*",))) as server:
        read = await server.call("GET", "/healthz", headers={"Origin": "https://a.example"})

    assert (read.headers["Access-Control-Allow-Origin"], "Access-Control-Allow-Credentials" in read.headers) == ("*", False)


async def limited_key(server: Server, **fields: object) -> str:
    scopes = {"name": "t", "scopes": ["jobs:read", "jobs:write"]}
    made = await server.call("POST", "/api/v1/admin/api-keys", json={**scopes, **fields})
    key: str = made.json["api_key"]
    return key


def limit_of(answer: Answer) -> tuple[str, ...]:
    return tuple(answer.headers[f"RateLimit-{word}"] for word in ("Limit", "Remaining"))


async def test_key_may_make_so_many_jobs_an_hour(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        key = await limited_key(server, rate_limit_per_hour=2)
        made = [await server.call("POST", JOBS, key=key, json={"profile": "noop"}) for _ in range(3)]
        looked = await server.call("GET", JOBS, key=key)

    assert [(answer.status, *limit_of(answer)) for answer in made] == [(202, "2", "1"), (202, "2", "0"), (429, "2", "0")]
    assert (made[2].code, 3500 < int(made[2].headers["Retry-After"]) <= 3600) == ("RATE_LIMITED", True)
    assert (looked.status, looked.json["total"], limit_of(looked)) == (200, 2, ("50", "49"))


async def test_other_calls_of_a_key_are_limited_by_the_second_but_not_of_the_first_admin(tmp_path: Path) -> None:
    async with served(tmp_path, Limits(calls_per_s=5)) as server:
        key = await limited_key(server)
        told = [(await server.call("GET", JOBS, key=key)).status for _ in range(30)]
        admin = [await server.call("GET", JOBS) for _ in range(30)]

    assert (set(told), told[:5]) == ({200, 429}, [200] * 5)
    assert {(answer.status, limit_of(answer)) for answer in admin} == {(200, ("9007199254740991", "9007199254740991"))}


async def test_engine_calls_are_never_limited(tmp_path: Path) -> None:
    async with served(tmp_path, Limits(calls_per_s=1, tenant_calls_per_s=1)) as server:
        engine = await server.new_engine()
        beat = {
            "boot_id": "boot-0001",
            "state": "online",
            "load": {},
            "slots": {"encoding": 1, "light": 2, "free_encoding": 1, "free_light": 2},
        }
        told = [await server.call("POST", f"/api/v1/engines/{engine[0]}/heartbeat", key=engine[1], json=beat) for _ in range(30)]

    assert {(answer.status, "RateLimit-Limit" in answer.headers) for answer in told} == {(200, False)}


async def test_wrong_keys_make_an_address_wait_and_a_good_key_goes_on(tmp_path: Path) -> None:
    async with served(tmp_path, Limits(failures_free=3)) as server:
        told = [await server.call("GET", JOBS, key="rk_wrong") for _ in range(3 + MANY)]
        bare = await server.call("GET", JOBS, key=None)
        good = await server.call("GET", JOBS)
        registration = await server.call("POST", "/api/v1/engines/register", key="rt_wrong", json={})
        engine = await server.new_engine()

    late = [answer for answer in told[3:] if answer.status == 429]
    assert [head_of(answer) for answer in told[:3]] == [(401, "UNAUTHORIZED")] * 3
    assert [(answer.code, int(answer.headers["Retry-After"]) >= 1) for answer in late][:1] == [("RATE_LIMITED", True)]
    assert (bare.status, good.status, registration.status in (422, 429), engine[0][:4]) == (401, 200, True, "eng_")


async def test_wrong_keys_count_against_whoever_a_trusted_proxy_names(tmp_path: Path) -> None:
    async with served(tmp_path, Limits(failures_free=1, trusted_proxies=("127.0.0.0/8",))) as server:

        async def told(addresses: list[str]) -> list[int]:
            asked = [{"X-Forwarded-For": address} for address in addresses]
            return [(await server.call("GET", JOBS, key="rk_wrong", headers=headers)).status for headers in asked]

        one = await told(["203.0.113.1"] * MANY)
        other = await told(["203.0.113.2"])
        household = await told([f"2001:db8::{number}" for number in range(MANY)])

    assert (one[0], set(one), other, household[0], set(household)) == (401, {401, 429}, [401], 401, {401, 429})


async def test_what_runs_is_finished_and_new_requests_are_sent_away(tmp_path: Path) -> None:
    body = b'{"profile": "noop"}'
    async with served(tmp_path) as server, line(server) as running, line(server) as idle, asyncio.TaskGroup() as tasks:
        idle.say(*get("/healthz"))
        await idle.answer()
        running.say(*post(server, JOBS, len(body), "Expect: 100-continue"))
        assert await running.reader.readline() == b"HTTP/1.1 100 Continue\r\n"
        assert await running.reader.readline() == b"\r\n"
        stopping = tasks.create_task(server.web.cleanup())
        await asyncio.sleep(0)
        async with line(server) as late:
            late.say(*get("/healthz"))
            refused = await late.answer()
        idle.say(*get("/healthz"))
        sent_away = await idle.answer()
        running.writer.write(body)
        made = await running.answer()
        await stopping

    told = (refused.status, refused.code, refused.headers["connection"], int(refused.headers["retry-after"]) > 0)
    assert (told, sent_away.code) == ((503, "SHUTTING_DOWN", "close", True), "SHUTTING_DOWN")
    assert (made.status, made.headers["connection"], json.loads(made.body)["state"]) == (202, "close", "pending")


async def test_stopping_does_not_wait_for_ever(tmp_path: Path) -> None:
    async with served(tmp_path, Limits(shutdown_s=0.1)) as server, line(server) as running:
        running.say(*post(server, JOBS, 100, "Expect: 100-continue"))
        await running.reader.readline()
        async with asyncio.timeout(15):
            await server.web.cleanup()
        rest = await running.rest()

    assert b"202" not in rest
