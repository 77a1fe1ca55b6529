"""The rules every call keeps, over real HTTP against the real services."""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from dispatch.api.wiring import Limits
from dispatch.core.paging import FIRST, Wanted
from dispatch.services.profiles import ProfileBook
from protocol.admin import ProfilePage, Scope
from protocol.operations import OPERATIONS, STREAMS, Operation
from tests.contract.api_server import ENGINE, head_of, served

OWN_KEY = (Scope.OPEN, Scope.REGISTRATION, Scope.ENGINE)


def filled(operation: Operation) -> str:
    return re.sub(
        r"\{(\w+)[^}]*\}", lambda found: {"path": "a.mp4", "signature": "x.1"}.get(found[1], f"{found[1][:3]}_0"), operation.path
    )


async def test_every_operation_refuses_callers_without_a_key(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        closed = [operation for operation in OPERATIONS if operation.scope is not Scope.OPEN]
        told = {o.name: head_of(await server.call(o.method, filled(o), key=None, json=_smallest(o))) for o in closed}
        wrong = {o.name: head_of(await server.call(o.method, filled(o), key="rk_wrong", json=_smallest(o))) for o in closed}

    assert set(told.values()) == set(wrong.values()) == {(401, "UNAUTHORIZED")}


def _smallest(operation: Operation) -> object:
    """Registration is judged by what it says, too."""
    return ENGINE if operation.scope is Scope.REGISTRATION else None


async def test_key_without_the_scope_is_refused_before_anything_is_looked_up(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        told = {}
        for scope in {operation.scope for operation in OPERATIONS} - set(OWN_KEY):
            other = Scope.JOBS_READ if scope is not Scope.JOBS_READ else Scope.ENGINES_READ
            key = await server.new_key(other)
            for operation in (o for o in OPERATIONS if o.scope is scope):
                answer = await server.call(operation.method, filled(operation), key=key)
                told[operation.name] = (*head_of(answer), answer.json["error"]["details"]["scope"])

    assert told == {o.name: (403, "FORBIDDEN", o.scope.value) for o in OPERATIONS if o.scope not in OWN_KEY}


async def test_engine_credential_opens_its_own_calls_alone(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        engine, other = await server.new_engine(), await server.new_engine(name="other")
        beat = {
            "boot_id": "boot-0001",
            "state": "online",
            "load": {},
            "slots": {"encoding": 1, "light": 1, "free_encoding": 1, "free_light": 1},
        }
        own = await server.call("POST", f"/api/v1/engines/{engine[0]}/heartbeat", key=engine[1], json=beat)
        foreign = await server.call("POST", f"/api/v1/engines/{other[0]}/heartbeat", key=engine[1], json=beat)
        missing = await server.call("POST", "/api/v1/engines/eng_0/heartbeat", key=engine[1], json=beat)
        jobs = await server.call("GET", "/api/v1/jobs", key=engine[1])

    assert (own.status, head_of(foreign), head_of(missing), head_of(jobs)) == (
        200,
        (403, "FORBIDDEN"),
        (403, "FORBIDDEN"),
        (401, "UNAUTHORIZED"),
    )


async def test_revoked_key_is_worth_nothing(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        made = await server.call("POST", "/api/v1/admin/api-keys", json={"name": "t", "scopes": ["jobs:read"]})
        key, key_id = made.json["api_key"], made.json["key_id"]
        before = await server.call("GET", "/api/v1/jobs", key=key)
        await server.call("DELETE", f"/api/v1/admin/api-keys/{key_id}")
        after = await server.call("GET", "/api/v1/jobs", key=key)

    assert (made.status, made.headers["Cache-Control"], before.status, head_of(after)) == (
        201,
        "no-store",
        200,
        (401, "UNAUTHORIZED"),
    )


async def test_bearer_is_as_good_as_the_header(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        answer = await server.call("GET", "/api/v1/version", key=None, headers={"Authorization": f"Bearer {server.key}"})

    assert (answer.status, answer.json["api"]) == (200, "v1")


async def test_foreign_job_is_the_same_404_as_a_missing_one(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        await server.new_tenant("acme")
        key = await server.new_key("jobs:read", "jobs:write", "files:read", tenant="acme")
        job = await server.submit()
        routes = [o for o in OPERATIONS if "{job_id}" in o.path and o.scope is not Scope.ADMIN]
        told = {}
        for operation in routes:
            pair = []
            for job_id in (job["job_id"], "job_0"):
                answer = await server.call(operation.method, filled(operation).replace("job_0", job_id), key=key)
                text = json.dumps(answer.json).replace(job_id, "ID").replace(answer.headers["X-Request-Id"], "REQUEST")
                pair.append((answer.status, text))
            told[operation.name] = (pair[0] == pair[1], pair[0][0])
        listed = await server.call("GET", "/api/v1/jobs", key=key)

    assert told == {operation.name: (True, 404) for operation in routes}
    assert listed.json["jobs"] == []


async def test_request_id_is_taken_when_well_formed_and_made_otherwise(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        taken = await server.call("GET", "/healthz", headers={"X-Request-Id": "trace-1234.abc"})
        made = await server.call("GET", "/nowhere", headers={"X-Request-Id": "<script>alert(1)</script>"})

    assert taken.headers["X-Request-Id"] == "trace-1234.abc"
    assert re.fullmatch(r"req_[0-9a-z]+", made.headers["X-Request-Id"])
    assert made.json["error"]["request_id"] == made.headers["X-Request-Id"]


async def test_unknown_route_and_method_come_in_the_envelope(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        nowhere = await server.call("GET", "/api/v2/jobs")
        method = await server.call("PUT", "/api/v1/jobs")
        dots = await server.call("GET", "/api/v1/%2e%2e/etc/passwd")

    assert (head_of(nowhere), head_of(dots)) == ((404, "ROUTE_NOT_FOUND"), (404, "ROUTE_NOT_FOUND"))
    assert (head_of(method), method.headers["Allow"]) == ((405, "METHOD_NOT_ALLOWED"), "GET, HEAD, OPTIONS, POST")


async def test_every_answer_carries_the_security_headers(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        answers = [await server.call("GET", path) for path in ("/healthz", "/nowhere", "/openapi.json")]

    wanted = {
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Server": "reelyard",
    }
    assert [{name: a.headers.get(name) for name in wanted} for a in answers] == [wanted] * 3


@pytest.mark.parametrize(
    ("body", "headers", "refusal"),
    [
        (b"\xff" * 1_000_000, {}, (400, "MALFORMED_JSON")),
        (b'{"profile": "noop", "metadata": {"n": NaN}}', {}, (400, "MALFORMED_JSON")),
        (b'{"profile": "noop"} x', {}, (400, "MALFORMED_JSON")),
        (b"[" * 100_000, {}, (400, "MALFORMED_JSON")),
        (b"[]", {}, (422, "VALIDATION_FAILED")),
        (b'{"profile": "noop", "priority": 11}', {}, (422, "VALIDATION_FAILED")),
        (b'{"profile": "noop", "priority": false}', {}, (422, "VALIDATION_FAILED")),
        (b'{"profile": "noop", "colour": "red"}', {}, (422, "VALIDATION_FAILED")),
        (b'{"profile": "never"}', {}, (422, "PROFILE_NOT_FOUND")),
        (b" " * ((1 << 20) + 1), {}, (413, "BODY_TOO_LARGE")),
        (b"{}", {"Content-Type": "text/plain"}, (415, "UNSUPPORTED_MEDIA_TYPE")),
        (b"{}", {"Content-Encoding": "gzip"}, (415, "UNSUPPORTED_MEDIA_TYPE")),
        (b'{"profile": "noop"}', {"Idempotency-Key": "two words"}, (400, "IDEMPOTENCY_KEY_INVALID")),
    ],
)
async def test_bad_body_is_told_by_its_code(
    tmp_path: Path, body: bytes, headers: dict[str, str], refusal: tuple[int, str]
) -> None:
    async with served(tmp_path) as server:
        headers = {"Content-Type": "application/json", **headers}
        answer = await server.call("POST", "/api/v1/jobs", data=io.BytesIO(body), headers=headers)
        listed = await server.call("GET", "/api/v1/jobs")

    assert (head_of(answer), listed.json["total"]) == (refusal, 0)


async def test_body_that_grows_beyond_its_limit_is_refused_without_a_length(tmp_path: Path) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 65_536

    async with served(tmp_path) as server:
        answer = await server.call("POST", "/api/v1/jobs", data=endless(), headers={"Content-Type": "application/json"})

    assert head_of(answer) == (413, "BODY_TOO_LARGE")


async def test_unknown_query_parameter_is_refused(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        typo = await server.call("GET", "/api/v1/jobs?statuss=failed")
        twice = await server.call("GET", "/api/v1/jobs?limit=1&limit=2")
        much = await server.call("GET", "/api/v1/engines?limit=201")

    assert [answer.json["error"]["details"]["problems"][0]["field"] for answer in (typo, twice, much)] == [
        "statuss",
        "limit",
        "limit",
    ]


async def test_every_get_answers_head_but_streams(tmp_path: Path) -> None:
    plain = [o for o in OPERATIONS if o.method == "GET" and o.gives not in STREAMS and "{" not in o.path]
    async with served(tmp_path) as server:
        pairs = {o.name: (await server.call("GET", o.path), await server.call("HEAD", o.path)) for o in plain}
        stream = await server.call("HEAD", "/api/v1/events")

    assert {name: (head.status, head.body) for name, (_, head) in pairs.items()} == {
        name: (got.status, b"") for name, (got, _) in pairs.items()
    }
    assert stream.status == 405


class BrokenBook(ProfileBook):
    """A book with a fault nobody thought of."""

    async def list(self, wanted: Wanted = FIRST) -> ProfilePage:
        raise KeyError("/secret/path")


async def test_fault_of_ours_is_told_without_a_trace(tmp_path: Path) -> None:
    async with served(tmp_path, change=lambda services: replace(services, profiles=BrokenBook([]))) as server:
        answer = await server.call("GET", "/api/v1/profiles")

    assert head_of(answer) == (500, "INTERNAL_ERROR")
    assert b"secret" not in answer.body
    assert answer.json["error"]["request_id"] == answer.headers["X-Request-Id"]


async def test_body_that_stands_still_is_given_up(tmp_path: Path) -> None:
    async with served(tmp_path, Limits(body_idle_s=0.05)) as server:
        host, port = server.web.addresses[0][:2]
        reader, writer = await asyncio.open_connection(host, port)
        head = f"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nX-API-Key: {server.key}\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: 100\r\n\r\n{{".encode())
        status = await reader.readline()
        writer.close()

    assert status == b"HTTP/1.1 408 Request Timeout\r\n"


async def test_contract_is_served_as_openapi(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        answer = await server.call("GET", "/openapi.json", key=None)

    assert (answer.status, answer.json["openapi"]) == (200, "3.1.0")


async def test_body_is_asked_for_only_once_the_key_is_known(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        host, port = server.web.addresses[0][:2]
        lines = []
        for key in ("rk_wrong", server.key):
            reader, writer = await asyncio.open_connection(host, port)
            head = f"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\nContent-Type: application/json\r\n"
            writer.write(f"{head}Content-Length: 18\r\nExpect: 100-continue\r\n\r\n".encode())
            lines.append(await reader.readline())
            writer.write(b'{"profile":"noop"}')
            if key == server.key:
                lines += [await reader.readline(), await reader.readline()]
            writer.close()

    assert lines == [
        b"HTTP/1.1 401 Unauthorized\r\n",
        b"HTTP/1.1 100 Continue\r\n",
        b"\r\n",
        b"HTTP/1.1 202 Accepted\r\n",
    ]
