"""Tenants spread over two whole farms: each lives in one, and its clients may ask either."""

from __future__ import annotations

import asyncio
import io
import json
from itertools import product
from pathlib import Path

import jwt

from config.dispatch import Jwt
from dispatch.api.authentication import FROM_SHARD
from protocol.operations import KEY_SUBPROTOCOL, SUBPROTOCOL
from tests.contract.api_server import Json, Server
from tests.contract.farm_of_shards import Farm, Two, two

API = "/api/v1"
CLIENT = ("jobs:read", "jobs:write", "files:read", "files:write")
SECRET = "s" * 64


async def client_of(farms: Two, tenant: str, *, at: Farm | None = None) -> str:
    """A new tenant's key, made by an admin at any farm."""
    server = (at or farms.a).server
    await server.new_tenant(tenant)
    return await server.new_key(*CLIENT, tenant=tenant)


def ids(listed: Json) -> set[str]:
    return {job["job_id"] for job in listed["jobs"]}


async def test_tenants_their_keys_and_their_jobs_are_in_one_farm_whichever_was_asked(tmp_path: Path) -> None:
    async with two(tmp_path) as farms:
        tenants = farms.tenants(6)
        keys = {name: await client_of(farms, name, at=(farms.a, farms.b)[at % 2]) for at, name in enumerate(tenants)}
        made: dict[str, set[str]] = {name: set() for name in tenants}
        for name, farm in product(tenants, (farms.a, farms.b)):
            made[name].add((await farm.server.submit(key=keys[name]))["job_id"])
        listed = {
            name: [ids((await farm.server.call("GET", f"{API}/jobs", key=keys[name])).json) for farm in (farms.a, farms.b)]
            for name in tenants
        }
        rows = {
            table: [farm.rows(f"SELECT {column} FROM {table}") for farm in (farms.a, farms.b)]
            for table, column in (("tenants", "name"), ("jobs", "job_id"), ("api_keys", "tenant"))
        }

    of_a, of_b = tenants[:3], tenants[3:]
    assert listed == {name: [made[name]] * 2 for name in tenants}
    assert rows["tenants"] == [sorted(["default", *of_a]), sorted(["default", *of_b])]
    assert rows["api_keys"] == [sorted(["default", *of_a]), sorted(["default", *of_b])]
    assert rows["jobs"] == [sorted(set().union(*(made[name] for name in of))) for of in (of_a, of_b)]
    assert {name: key[:5] for name, key in keys.items()} == {name: f"rk_{farms.router.owner(name)}_" for name in tenants}


async def test_a_tenant_sees_nothing_of_others_through_either_farm(tmp_path: Path) -> None:
    async with two(tmp_path) as farms:
        first, second = farms.tenants(2)
        keys = [await client_of(farms, name) for name in (first, second)]
        job = (await farms.b.server.submit(key=keys[0]))["job_id"]
        path = f"{API}/jobs/{job}"
        seen = [(await farm.server.call("GET", path, key=key)).status for key in keys for farm in (farms.a, farms.b)]

    assert seen == [200, 200, 404, 404]


async def stream_of(server: Server, job_id: str, key: str, begun: asyncio.Event) -> bytes:
    """The events of a job until it has ended; `begun` at the first byte."""
    told = b""
    async with server.http.get(f"{server.url}{API}/jobs/{job_id}/events", headers={"X-API-Key": key}) as answer:
        async for block in answer.content.iter_any():
            told += block
            begun.set()
    return told


async def socket_of(server: Server, job_id: str, key: str, begun: asyncio.Event) -> list[Json]:
    """The same over a WebSocket, with the key as a browser shows it."""
    url, protocols = f"{server.url}{API}/events/ws?job_id={job_id}", (SUBPROTOCOL, f"{KEY_SUBPROTOCOL}{key}")
    told: list[Json] = []
    async with server.http.ws_connect(url, protocols=protocols) as socket:
        async for message in socket:
            told.append(json.loads(message.data))
            begun.set()
    return told


def events_of(stream: bytes) -> list[Json]:
    """Without the comments that keep it open."""
    lines = (line for line in stream.decode().splitlines() if line.startswith("data: "))
    return [json.loads(line.removeprefix("data: ")) for line in lines]


async def test_streams_and_sockets_go_through_as_they_come(tmp_path: Path) -> None:
    async with two(tmp_path) as farms:
        tenant = farms.tenants(2)[1]
        key, asked = await client_of(farms, tenant), farms.a.server
        job_id = (await asked.submit(key=key))["job_id"]
        begun = asyncio.Event(), asyncio.Event()
        async with asyncio.TaskGroup() as readers:
            stream = readers.create_task(stream_of(asked, job_id, key, begun[0]))
            socket = readers.create_task(socket_of(asked, job_id, key, begun[1]))
            await asyncio.gather(*(one.wait() for one in begun))  # both have seen its beginning before its end is made
            await asked.call("POST", f"{API}/jobs/{job_id}/cancel", key=key)
        stored = (await farms.b.server.call("GET", f"{API}/jobs/{job_id}/events", key=key)).body

    assert events_of(stream.result()) == events_of(stored) == [message["data"] for message in socket.result()]
    assert events_of(stored)[0]["type"] == "JobCreated"


async def test_bytes_go_through_to_the_storage_of_their_farm(tmp_path: Path) -> None:
    film, tus = bytes(range(256)) * 8192, {"Tus-Resumable": "1.0.0"}
    async with two(tmp_path) as farms:
        key, asked = await client_of(farms, farms.tenants(2)[1]), farms.a.server
        headers = {**tus, "Upload-Length": str(len(film))}
        begun = await asked.call("POST", f"{API}/uploads", key=key, headers=headers)
        place = begun.headers["Location"].removeprefix(asked.url)
        headers = {**tus, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
        sent = await asked.call("PATCH", place, key=key, headers=headers, data=io.BytesIO(film))
        sizes = [[path.stat().st_size for path in farm.storage.rglob("*") if path.is_file()] for farm in (farms.a, farms.b)]

    assert (begun.status, sent.status, sent.headers["Upload-Offset"]) == (201, 204, str(len(film)))
    assert [len(film) in found for found in sizes] == [False, True]


async def test_tokens_go_to_the_farm_of_their_tenant(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    section = Jwt(secret_file=tmp_path / "secret", issuer="https://id.example", audience="reelyard")
    async with two(tmp_path, {"jwt": section}) as farms:
        names, tokens = farms.tenants(2), []
        for name in names:
            await farms.a.server.new_tenant(name)
            claims = {"iss": "https://id.example", "aud": "reelyard", "exp": 4_000_000_000, "sub": "ci", "tenant": name}
            tokens.append(jwt.encode({**claims, "scope": "jobs:read jobs:write"}, SECRET, "HS256"))
        made = [(await farms.a.server.submit(key=token))["job_id"] for token in tokens]
        rows = [farm.rows("SELECT job_id FROM jobs") for farm in (farms.a, farms.b)]

    assert rows == [[made[0]], [made[1]]]


async def test_a_farm_that_is_away_is_told_as_such_and_the_others_go_on(tmp_path: Path) -> None:
    async with two(tmp_path) as farms:
        here, there = [await client_of(farms, name) for name in farms.tenants(2)]
        await farms.b.server.web.cleanup()
        seen = [await farms.a.server.call("GET", f"{API}/jobs", key=key) for key in (here, there)]

    assert [(answer.status, answer.headers.get("Retry-After")) for answer in seen] == [(200, None), (503, "2")]
    assert seen[1].code == "DATABASE_UNAVAILABLE"


async def test_nobody_who_says_that_a_farm_sent_him_is_believed(tmp_path: Path) -> None:
    async with two(tmp_path) as farms:
        key = await client_of(farms, farms.tenants(2)[1])
        told = await farms.a.server.call("GET", f"{API}/jobs", key=key, headers={FROM_SHARD: "203.0.113.9"})
        unknown = await farms.a.server.call("GET", f"{API}/jobs", key=key[:-4] + "zzzz")

    assert (told.status, unknown.status, unknown.code) == (200, 401, "UNAUTHORIZED")


async def test_farms_that_take_each_other_for_the_owner_make_no_loop(tmp_path: Path) -> None:
    async with two(tmp_path) as farms:
        first = farms.a.server.core.services
        voucher = first.vouchers.issue("203.0.113.9")
        key = await client_of(farms, farms.tenants(2)[1])
        told = await farms.a.server.call("GET", f"{API}/jobs", key=key, headers={FROM_SHARD: voucher})

    assert (told.status, told.code) == (401, "UNAUTHORIZED")


async def test_a_signed_link_leads_to_its_file_through_any_farm(tmp_path: Path) -> None:
    async with two(tmp_path) as farms:
        path = farms.b.storage / "acme" / "processed" / "job_1"
        path.mkdir(parents=True)
        (path / "film.mp4").write_bytes(b"moving pictures")
        link = farms.b.server.signed("GET", "acme/processed/job_1") + "/acme/processed/job_1/"
        forged = "x" + link.removeprefix("/files/s/")
        asked = farms.a.server
        whole = await asked.call("GET", f"{link}film.mp4", key=None)
        part = await asked.call("GET", f"{link}film.mp4", key=None, headers={"Range": "bytes=7-14"})
        head = await asked.call("HEAD", f"{link}film.mp4", key=None)
        missing = await asked.call("GET", f"{link}other.mp4", key=None)
        wrong = await asked.call("GET", f"/files/s/{forged}film.mp4", key=None)

    assert (whole.status, whole.body, part.status, part.body) == (200, b"moving pictures", 206, b"pictures")
    assert (head.status, head.headers["Content-Length"], missing.status, missing.code) == (200, "15", 404, "FILE_NOT_FOUND")
    assert wrong.status == 403


async def test_a_body_that_waits_to_be_asked_for_is_asked_for_once(tmp_path: Path) -> None:
    async with two(tmp_path) as farms:
        names = farms.tenants(2)
        made = [await farms.a.server.call("POST", f"{API}/admin/tenants", json={"name": name}, expect100=True) for name in names]
        keys = [await farms.a.server.new_key(*CLIENT, tenant=name) for name in names]
        jobs = [
            await farms.a.server.call("POST", f"{API}/jobs", key=key, json={"profile": "noop"}, expect100=True) for key in keys
        ]

    assert [answer.status for answer in (*made, *jobs)] == [201, 201, 202, 202]
