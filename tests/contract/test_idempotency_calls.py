"""Idempotency keys over HTTP: the twelve cases, but for the two that need a clock or a dead process."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from config.dispatch import Api
from dispatch.api.wiring import Services
from dispatch.core.callers import Caller, IdempotencyKey
from dispatch.services.idempotency import Answered
from dispatch.services.submissions import SubmissionService
from protocol.jobs import JobSubmission
from tests.contract.api_server import Answer, Server, served

JOBS = "/api/v1/jobs"
NOOP = {"profile": "noop"}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with served(tmp_path) as running:
        yield running


async def post(server: Server, body: object, *, under: str = "k-1", path: str = JOBS, **options: Any) -> Answer:  # aiohttp's
    return await server.call("POST", path, json=body, headers={"Idempotency-Key": under}, **options)


async def count_jobs(server: Server) -> int:
    total: int = (await server.call("GET", JOBS)).json["total"]
    return total


def is_replay(answer: Answer) -> bool:
    return answer.headers.get("Idempotent-Replayed") == "true"


async def test_a_call_without_a_key_is_refused_where_keys_are_required(tmp_path: Path) -> None:
    async with served(tmp_path, sections={"api": Api(require_idempotency_key=True)}) as server:
        without = await server.call("POST", JOBS, json=NOOP)
        under = await post(server, NOOP)
        cancelled = await server.call("POST", f"{JOBS}/{under.json['job_id']}/cancel")

        assert (without.status, without.code) == (400, "IDEMPOTENCY_KEY_REQUIRED")
        assert (under.status, cancelled.status, await count_jobs(server)) == (202, 200, 1)


@pytest.mark.parametrize("key", ["", "two words", "x" * 256, "é"])
async def test_a_malformed_key_is_refused_before_the_body_is_read(server: Server, key: str) -> None:
    answer = await post(server, NOOP, under=key)

    assert (answer.status, answer.code, await count_jobs(server)) == (400, "IDEMPOTENCY_KEY_INVALID", 0)


async def test_the_same_call_again_is_answered_as_the_first_time(server: Server) -> None:
    first = await post(server, NOOP)
    await server.call("POST", f"{JOBS}/{first.json['job_id']}/cancel")  # the answer is that of then

    again = await post(server, NOOP)

    assert (is_replay(first), is_replay(again)) == (False, True)
    assert (again.status, again.body) == (first.status, first.body) == (202, first.body)
    assert [again.headers[name] for name in ("Location", "ETag")] == [first.headers[name] for name in ("Location", "ETag")]
    assert await count_jobs(server) == 1


async def test_a_key_of_a_call_that_still_runs_is_refused(server: Server) -> None:
    url = URL(server.url)
    body = b'{"profile": "noop"}'
    head = (
        f"POST {JOBS} HTTP/1.1\r\nHost: here\r\nX-API-Key: {server.key}\r\nIdempotency-Key: k-1\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(head.encode())
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")  # from here on the key is held

    meanwhile = await post(server, NOOP)
    elsewhere = await post(server, NOOP, under="k-2")
    writer.write(body)
    first = await reader.read()
    writer.close()
    after = await post(server, NOOP)

    assert (meanwhile.status, meanwhile.code, meanwhile.headers["Retry-After"]) == (409, "IDEMPOTENCY_IN_PROGRESS", "1")
    assert (elsewhere.status, first.split(b"\r\n")[0]) == (202, b"HTTP/1.1 202 Accepted")
    assert (is_replay(after), first.endswith(after.body), await count_jobs(server)) == (True, True, 2)


async def test_a_call_that_breaks_off_gives_its_key_back(server: Server) -> None:
    url = URL(server.url)
    head = f"POST {JOBS} HTTP/1.1\r\nHost: here\r\nX-API-Key: {server.key}\r\nIdempotency-Key: k-1\r\nExpect: 100-continue\r\n"
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(f"{head}Content-Type: application/json\r\nContent-Length: 19\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()

    answers = [await post(server, NOOP) for _ in range(50)]  # until the server has seen it

    assert {answer.status for answer in answers} <= {202, 409}
    assert (answers[-1].status, await count_jobs(server)) == (202, 1)


@pytest.mark.parametrize("other", [{"profile": "noop", "priority": 6}, {"profile": "noop", "metadata": {"a": 1}}])
async def test_another_body_under_the_key_is_refused(server: Server, other: object) -> None:
    await post(server, NOOP)

    answer = await post(server, other)

    assert (answer.status, answer.code, await count_jobs(server)) == (422, "IDEMPOTENCY_MISMATCH", 1)


async def test_a_key_belongs_to_a_tenant_and_a_route(server: Server) -> None:
    await server.new_tenant("acme")
    key = await server.new_key("jobs:write", tenant="acme")
    first = await post(server, NOOP)

    theirs = await post(server, NOOP, key=key)
    of_a_batch = await post(server, {"jobs": [NOOP]}, path=f"{JOBS}/batch")

    assert [is_replay(answer) for answer in (first, theirs, of_a_batch)] == [False, False, False]
    assert len({first.json["job_id"], theirs.json["job_id"], of_a_batch.json["jobs"][0]["job_id"]}) == 3


async def test_what_the_address_names_is_part_of_what_was_asked(server: Server) -> None:
    keys = [(await post(server, {"name": n, "scopes": ["jobs:read"]}, under=n, path=KEYS)).json["key_id"] for n in "ab"]
    first = await post(server, {}, path=f"{KEYS}/{keys[0]}/rotate")

    other = await post(server, {}, path=f"{KEYS}/{keys[1]}/rotate")

    assert (first.status, other.status, other.code) == (200, 422, "IDEMPOTENCY_MISMATCH")


KEYS = "/api/v1/admin/api-keys"


async def test_a_refused_call_leaves_its_key_free(server: Server) -> None:
    refusals = [
        await post(server, {"profile": "noop", "nonsense": 1}),
        await post(server, {"profile": "unheard-of"}),
        await post(server, {"profile": "noop"}, key="rk_nobody"),
        await post(server, "no object"),
    ]

    answer = await post(server, NOOP)

    assert [refusal.status for refusal in refusals] == [422, 422, 401, 422]
    assert (answer.status, is_replay(answer), await count_jobs(server)) == (202, False, 1)


class BreaksOnce(SubmissionService):
    """Our own fault, the first time."""

    def __init__(self, whole: SubmissionService) -> None:
        self._whole, self._is_broken = whole, True

    async def submit(self, who: Caller, submission: JobSubmission, key: IdempotencyKey | None) -> Answered:
        if self._is_broken:
            self._is_broken = False
            raise ZeroDivisionError
        return await self._whole.submit(who, submission, key)


async def test_a_fault_of_ours_leaves_the_key_free(tmp_path: Path) -> None:
    def breaking(services: Services) -> Services:
        return replace(services, submissions=BreaksOnce(services.submissions))

    async with served(tmp_path, change=breaking) as server:
        first, second, third = [await post(server, NOOP) for _ in range(3)]

        assert (first.status, second.status, is_replay(second), is_replay(third)) == (500, 202, False, True)
        assert await count_jobs(server) == 1


async def test_fifty_at_once_make_one_job(server: Server) -> None:
    answers = await asyncio.gather(*(post(server, NOOP) for _ in range(50)))

    seen = Counter((answer.status, is_replay(answer)) for answer in answers)
    again = [await post(server, NOOP) for _ in range(3)]
    assert (seen[(202, False)], sum(seen.values())) == (1, 50)
    assert set(seen) <= {(202, False), (202, True), (409, False)}
    assert {answer.json["job_id"] for answer in (*answers, *again) if answer.status == 202} == {again[0].json["job_id"]}
    assert ([is_replay(answer) for answer in again], await count_jobs(server)) == ([True] * 3, 1)


@pytest.mark.parametrize(
    ("path", "body", "status", "names"),
    [
        (KEYS, {"name": "ci", "scopes": ["jobs:read"]}, 201, "api_key"),
        ("/api/v1/admin/registration-token/rotate", None, 200, "registration_token"),
    ],
)
async def test_a_secret_is_replayed_and_lies_nowhere_in_the_clear(
    server: Server, path: str, body: object, status: int, names: str
) -> None:
    first, again = await post(server, body, path=path), await post(server, body, path=path)

    secret = first.json[names]
    assert (first.status, again.status, again.json, is_replay(again)) == (status, status, first.json, True)
    assert again.headers["Cache-Control"] == "no-store"
    assert not [path.name for path in server.data.glob("dispatch.db*") if secret.encode() in path.read_bytes()]


async def test_a_tenant_is_made_once_under_its_key(server: Server) -> None:
    answers = [await post(server, {"name": "acme"}, path="/api/v1/admin/tenants") for _ in range(2)]

    assert [(answer.status, is_replay(answer)) for answer in answers] == [(201, False), (201, True)]
    assert answers[0].body == answers[1].body
