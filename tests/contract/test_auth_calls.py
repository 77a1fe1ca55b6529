"""Who may call, over HTTP: keys, tokens of another issuer, engines, and one refusal for everybody else."""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiohttp import web
from yarl import URL

from config.dispatch import Jwt, Registration
from dispatch.app.secrets import load_secrets
from dispatch.clock import RandomIds
from tests.contract.api_server import ENGINE, Answer, Server, head_of, served
from tests.unit.auth_issuer import SECRET, jwks, signers

JOBS, KEYS, AUDIT = "/api/v1/jobs", "/api/v1/admin/api-keys", "/api/v1/admin/audit"
REGISTER, RENEW = "/api/v1/engines/register", "/api/v1/admin/registration-token/rotate"
REFUSED = (401, "UNAUTHORIZED")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with served(tmp_path) as running:
        yield running


async def new_key(server: Server, **fields: Any) -> dict[str, Any]:  # any field of a request, and of its answer
    answer = await server.call("POST", KEYS, json={"name": "ci", "scopes": ["jobs:read"], **fields})
    told: dict[str, Any] = answer.json
    return told


# --- keys


async def test_a_key_is_made_with_all_it_may_have(server: Server) -> None:
    fields = {"name": "ci", "tenant": "default", "scopes": ["jobs:read"], "expires_at": "2100-01-01T00:00:00.000Z"}
    asked = {**fields, "allowed_ips": ["192.0.2.0/24"], "rate_limit_per_hour": 7}

    answer = await server.call("POST", KEYS, json=asked)

    assert answer.status == 201
    assert {name: answer.json[name] for name in asked} == asked
    assert answer.json["api_key"].startswith(answer.json["prefix"])
    assert answer.json["warning"].startswith("This key is shown once.")
    assert answer.json["key_id"].startswith("key_")
    listed = (await server.call("GET", KEYS)).json["api_keys"][-1]
    assert listed == {name: value for name, value in answer.json.items() if name not in ("api_key", "warning")}


@pytest.mark.parametrize(("asked", "limit"), [({}, 100), ({"rate_limit_per_hour": None}, None), ({"rate_limit_per_hour": 5}, 5)])
async def test_a_limit_that_is_left_out_is_a_hundred_and_null_is_none(
    server: Server, asked: dict[str, Any], limit: int | None
) -> None:
    assert (await new_key(server, **asked))["rate_limit_per_hour"] == limit


async def test_a_key_of_another_network_is_no_key(server: Server) -> None:
    keys = [await new_key(server, allowed_ips=[network]) for network in ("127.0.0.0/8", "192.0.2.0/24")]

    answers = [await server.call("GET", JOBS, key=key["api_key"]) for key in keys]

    assert [answer.status for answer in answers] == [200, 401]


async def test_a_rotated_key_has_two_secrets_for_a_while_and_one_id(server: Server) -> None:
    before = await new_key(server)

    after = (await server.call("POST", f"{KEYS}/{before['key_id']}/rotate", json={"overlap_s": 60})).json
    at_once = (await server.call("POST", f"{KEYS}/{before['key_id']}/rotate", json={"overlap_s": 0})).json

    answers = [(await server.call("GET", JOBS, key=key["api_key"])).status for key in (before, after, at_once)]
    assert ({key["key_id"] for key in (before, after, at_once)}, answers) == ({before["key_id"]}, [401, 401, 200])
    assert (await server.call("POST", f"{KEYS}/key_none/rotate", json={})).code == "KEY_NOT_FOUND"


SHOWN = [
    {},
    {"X-API-Key": "rk_nobody"},
    {"X-API-Key": "x" * 8100},
    {"X-API-Key": "é"},
    {"Authorization": "Bearer rk_nobody"},
    {"Authorization": "Bearer a.b.c"},
    {"Authorization": "Bearer ..."},
    {"Authorization": "Basic cms6eA=="},
    {"Authorization": "Bearer"},
    {"Sec-WebSocket-Protocol": "reelyard.v1, reelyard.key.rk_nobody"},
]


async def test_whoever_is_unknown_is_refused_with_the_same_words(server: Server) -> None:
    revoked = await new_key(server)
    await server.call("DELETE", f"{KEYS}/{revoked['key_id']}")

    answers = [
        await server.call("GET", JOBS, key=None, headers=headers) for headers in (*SHOWN, {"X-API-Key": revoked["api_key"]})
    ]

    assert [head_of(answer) for answer in answers] == [REFUSED] * len(answers)
    assert {answer.headers["WWW-Authenticate"] for answer in answers} == {'Bearer realm="reelyard"'}
    assert len({str({**answer.json["error"], "request_id": ""}) for answer in answers}) == 1


async def test_an_engines_credential_opens_the_engines_calls_alone(server: Server) -> None:
    engine_id, credential = await server.new_engine()

    beat = await server.call("POST", f"/api/v1/engines/{engine_id}/offline", key=credential, json={"boot_id": "boot-0001"})
    others = [
        await server.call("GET", path, key=credential) for path in (JOBS, "/api/v1/engines", f"/api/v1/engines/{engine_id}", KEYS)
    ]

    assert (beat.status, [head_of(answer) for answer in others]) == (200, [REFUSED] * 4)


# --- registration


async def registered(server: Server, **headers: str) -> Answer:
    return await server.call("POST", REGISTER, key=None, headers=headers, json=ENGINE)


async def test_a_renewed_registration_token_is_in_its_file_and_ends_the_one_before(server: Server) -> None:
    path = server.data / "secrets" / "registration.token"
    before = path.read_text().strip()

    fresh = (await server.call("POST", RENEW)).json["registration_token"]

    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == (f"{fresh}\n", 0o600)
    answers = [(await registered(server, **{"X-API-Key": token})).status for token in (before, fresh)]
    assert answers == [401, 200]
    assert load_secrets(server.data, RandomIds()).registration == fresh  # as the next start reads it


async def test_an_engine_without_a_token_awaits_approval_and_then_works(tmp_path: Path) -> None:
    async with served(tmp_path, sections={"registration": Registration(policy="approve")}) as server:
        made = (await registered(server)).json
        path = f"/api/v1/engines/{made['engine_id']}"
        seen = (await server.call("GET", path)).json["state"]
        drained = await server.call("POST", f"{path}/drain")
        refused = await server.call("POST", f"{path}/approve", key=await server.new_key("engines:read"))
        approved = (await server.call("POST", f"{path}/approve")).json["state"]

    assert (seen, head_of(drained), head_of(refused), approved) == (
        "awaiting_approval",
        (409, "ENGINE_NOT_APPROVED"),
        (403, "FORBIDDEN"),
        "online",
    )


async def test_anybody_registers_where_the_policy_says_so_and_nobody_else_does(tmp_path: Path) -> None:
    async with served(tmp_path / "auto", sections={"registration": Registration(policy="auto")}) as server:
        auto = (await registered(server)).status
    async with served(tmp_path / "token") as server:
        token = head_of(await registered(server))

    assert (auto, token) == (200, REFUSED)


# --- tokens of another issuer


def claims(**changes: Any) -> dict[str, Any]:  # any claim
    return {
        "iss": "https://login.example",
        "aud": "reelyard",
        "exp": 4_000_000_000,
        "sub": "ci",
        "tenant": "default",
        "scope": "jobs:read jobs:write admin",
        **changes,
    }


@asynccontextmanager
async def trusting(tmp_path: Path, **source: Any) -> AsyncIterator[Server]:  # any setting
    section = Jwt.model_validate({"issuer": "https://login.example", "audience": "reelyard", **source})
    async with served(tmp_path, sections={"jwt": section}) as server:
        yield server


@asynccontextmanager
async def issuer() -> AsyncIterator[URL]:
    """Publishes its keys on this machine."""
    app = web.Application()

    async def keys(_: web.Request) -> web.Response:
        return web.Response(body=jwks(), content_type="application/json")

    async def moved(_: web.Request) -> web.Response:
        raise web.HTTPFound("/jwks")

    async def large(_: web.Request) -> web.Response:
        return web.Response(body=jwks() + b" " * (1 << 20))

    app.add_routes([web.get("/jwks", keys), web.get("/moved", moved), web.get("/large", large)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield URL(f"http://127.0.0.1:{runner.addresses[0][1]}")
    finally:
        await runner.cleanup()


async def asked(server: Server, token: str, path: str = JOBS) -> int:
    return (await server.call("GET", path, key=None, headers={"Authorization": f"Bearer {token}"})).status


async def test_a_token_opens_what_its_scopes_and_its_tenant_say(tmp_path: Path) -> None:
    async with issuer() as url, trusting(tmp_path, jwks_url=str(url / "jwks")) as server:
        token = signers()["ES256"].sign(claims())
        made = await server.call("POST", JOBS, key=None, headers={"X-API-Key": token}, json={"profile": "noop"})
        await server.call("POST", f"{JOBS}/{made.json['job_id']}/cancel", key=None, headers={"X-API-Key": token})
        audit = (await server.call("GET", AUDIT)).json["audit"]
        keys, of_nobody = await asked(server, token, KEYS), await asked(server, signers()["ES256"].sign(claims(tenant="nobody")))

    assert (made.status, made.json["tenant"], keys, of_nobody) == (202, "default", 403, 401)
    assert [(row["actor"], row["action"], row["address"]) for row in audit] == [("jwt:ci", "cancel_job", "127.0.0.1")]


async def test_an_operator_may_let_tokens_be_admins(tmp_path: Path) -> None:
    (tmp_path / "issuer.pem").write_bytes(signers()["RS256"].pem)
    async with trusting(tmp_path / "data", key_file=tmp_path / "issuer.pem", allow_admin=True) as server:
        assert await asked(server, signers()["RS256"].sign(claims()), KEYS) == 200


async def test_a_shared_secret_is_read_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(SECRET + b"\n")
    async with trusting(tmp_path / "data", secret_file=tmp_path / "secret") as server:
        good, bad = (jwt.encode(claims(), secret, "HS256") for secret in (SECRET, SECRET[::-1]))

        assert [await asked(server, token) for token in (good, bad)] == [200, 401]


@pytest.mark.parametrize("place", ["moved", "large", "nowhere"])
async def test_a_key_set_that_cannot_be_had_opens_nothing_and_breaks_nothing(tmp_path: Path, place: str) -> None:
    async with issuer() as url, trusting(tmp_path, jwks_url=str(url / place)) as server:
        assert [await asked(server, signers()["ES256"].sign(claims())), await asked(server, server.key)] == [401, 200]


async def test_an_issuer_that_is_away_opens_nothing_and_breaks_nothing(tmp_path: Path) -> None:
    async with issuer() as url:
        pass
    async with trusting(tmp_path, jwks_url=str(url / "jwks")) as server:
        assert [await asked(server, signers()["ES256"].sign(claims())), await asked(server, server.key)] == [401, 200]


# --- the audit log


async def test_the_audit_log_is_searched_and_paged(server: Server) -> None:
    for name in "abcde":
        await new_key(server, name=name)
    await server.call("POST", RENEW)

    first = (await server.call("GET", f"{AUDIT}?action=create_key&limit=2")).json
    await new_key(server, name="late")  # between the pages
    second = (await server.call("GET", first["next_page_url"])).json
    none = (await server.call("GET", f"{AUDIT}?actor=key_none")).json

    names = [row["details"]["name"] for page in (first, second) for row in page["audit"]]
    assert (names, first["total"], none["audit"]) == (["e", "d", "c", "b"], 5, [])
    assert first["audit"][0]["request_id"].startswith("req_")
    assert [(await server.call("GET", f"{AUDIT}?{query}")).status for query in ("since=yesterday", "cursor=xx", "who=me")] == [
        422
    ] * 3
    assert (await server.call("GET", AUDIT, key=await server.new_key("jobs:read"))).status == 403
    since = (await server.call("GET", f"{AUDIT}?since=2100-01-01T00:00:00Z")).json
    assert (since["total"], since["next_cursor"]) == (0, None)
