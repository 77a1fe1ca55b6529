"""Changing a waiting job, and the single reports of engines, over HTTP."""

from __future__ import annotations

import asyncio
from pathlib import Path

from dispatch.core.rooms import Room
from protocol.jobs import JobPatch
from protocol.leases import Complete, digest_of
from protocol.results import AttemptResult
from tests.contract.api_server import Answer, Json, Server, head_of, served
from tests.contract.services_world import CLIENT, world

JOBS = "/api/v1/jobs"


async def patched(server: Server, job_id: str, match: str | None, **fields: object) -> Answer:
    headers = {} if match is None else {"If-Match": match}
    return await server.call("PATCH", f"{JOBS}/{job_id}", json=fields, headers=headers)


async def test_waiting_job_is_changed_by_whoever_knows_its_version(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        job = await server.submit(metadata={"a": 1})
        path = f"{JOBS}/{job['job_id']}"
        changed = await patched(server, job["job_id"], '"1"', priority=9, metadata={"b": 2})
        found = await server.call("GET", path)

    assert (changed.status, changed.headers["ETag"], changed.json) == (200, '"2"', found.json)
    assert (found.json["priority"], found.json["user_metadata"], found.json["version"]) == (9, {"b": 2}, 2)


async def test_change_without_or_from_another_version_is_refused(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        job_id = (await server.submit())["job_id"]
        blind = await patched(server, job_id, None, priority=9)
        stale = await patched(server, job_id, '"7"', priority=9)
        weak = await patched(server, job_id, 'W/"1"', priority=9)
        missing = await patched(server, "job_0", '"1"', priority=9)
        nothing = await patched(server, job_id, '"1"')
        much = await patched(server, job_id, '"1"', metadata={"a": "x" * 65_536})
        found = await server.call("GET", f"{JOBS}/{job_id}")

    assert [head_of(answer) for answer in (blind, stale, weak, missing, nothing, much)] == [
        (428, "PRECONDITION_REQUIRED"),
        (412, "PRECONDITION_FAILED"),
        (412, "PRECONDITION_FAILED"),
        (404, "JOB_NOT_FOUND"),
        (422, "VALIDATION_FAILED"),
        (422, "VALIDATION_FAILED"),
    ]
    assert found.json["version"] == 1


async def test_any_version_and_the_tag_of_a_compressed_answer_match(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        job_id = (await server.submit())["job_id"]
        answers = [await patched(server, job_id, match, priority=n) for match, n in (("*", 7), ('"2-gzip"', 8))]

    assert [(answer.status, answer.json["priority"]) for answer in answers] == [(200, 7), (200, 8)]


async def test_of_two_changes_from_one_version_one_wins(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        job_id = (await server.submit())["job_id"]
        both = await asyncio.gather(*(patched(server, job_id, '"1"', priority=n) for n in (1, 10)))

    assert sorted(answer.status for answer in both) == [200, 412]


async def test_cancel_and_retry_heed_if_match_too(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        path = f"{JOBS}/{(await server.submit())['job_id']}"
        stale = [await server.call("DELETE", path, headers={"If-Match": '"9"'})]
        stale += [await server.call("POST", f"{path}/{word}", headers={"If-Match": '"9"'}) for word in ("cancel", "retry")]
        fresh = await server.call("DELETE", path, headers={"If-Match": '"1"'})

    assert ([answer.code for answer in stale], fresh.json["state"]) == (["PRECONDITION_FAILED"] * 3, "cancelled")


async def test_job_that_is_held_is_not_changed(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        engine = await server.new_engine()
        job_id = (await server.submit())["job_id"]
        await server.lease(engine, "req-1")
        refused = await patched(server, job_id, "*", priority=9)

    assert (*head_of(refused), refused.json["error"]["details"]) == (409, "INVALID_TRANSITION", {"state": "assigned"})


async def test_raised_job_is_handed_out_first(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        engine = await server.new_engine()
        first, second = [(await server.submit())["job_id"] for _ in range(2)]
        await patched(server, second, "*", priority=10)
        given = (await server.lease(engine, "req-1"))["tasks"]

    assert (first != second, given[0]["job_id"]) == (True, second)


async def test_changed_priority_moves_the_task_in_the_index(tmp_path: Path) -> None:
    async with world(tmp_path) as farm:
        engine = (await farm.register()).engine_id
        jobs = [await farm.submit(priority=priority) for priority in (5, 6)]
        await farm.core.services.jobs.patch(CLIENT, jobs[0], JobPatch(priority=7), frozenset({1}))
        index = farm.core.scheduler.index
        chosen = [pick.task_id for pick in index.choose(engine, Room(1, 0), farm.clock.now())]
        expected = (await farm.graph(jobs[0])).tasks[0].task_id

    assert (chosen[0], len(index)) == (expected, 2)


async def granted(server: Server) -> tuple[tuple[str, str], Json]:
    engine = await server.new_engine()
    await server.submit()
    grant: Json = (await server.lease(engine, "req-1"))["tasks"][0]
    return engine, grant


async def said(server: Server, engine: tuple[str, str], grant: Json, word: str, **fields: object) -> Answer:
    body = {"token": grant["token"], **fields}
    return await server.call("POST", f"/api/v1/tasks/{grant['task_id']}/{word}", key=engine[1], json=body)


RESULT = {"files": [], "steps": [], "tools": [], "log_tail": ""}


async def test_attempt_is_reported_call_by_call_and_repeats_are_harmless(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        engine, grant = await granted(server)
        words = [("ack", {}), ("start", {}), ("complete", {"result": RESULT})]
        told = [await said(server, engine, grant, word, **fields) for word, fields in words for _ in range(2)]
        late = await said(
            server, engine, grant, "fail", failure={"failure_class": "engine", "code": "TOOL_FAILED", "message": "x"}
        )

    settled = {"task_id": grant["task_id"], "token": grant["token"], "error": None, "message": None, "digest": None}
    report = Complete(task_id=grant["task_id"], token=grant["token"], result=AttemptResult())
    final = settled | {"digest": digest_of(report)}
    twice = [(200, one) for one in (settled, settled, final) for _ in range(2)]
    assert [(answer.status, answer.json) for answer in told] == twice
    assert head_of(late) == (409, "STALE_LEASE")


async def test_released_task_is_granted_again_and_its_old_token_is_stale(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        engine, grant = await granted(server)
        first = await said(server, engine, grant, "release", reason="drained")
        again = await said(server, engine, grant, "release", reason="drained")
        late = await said(server, engine, grant, "start")
        next_grant = (await server.lease(engine, "req-2"))["tasks"][0]

    assert (first.status, again.status, head_of(late)) == (200, 200, (409, "STALE_LEASE"))
    assert (next_grant["task_id"], next_grant["token"] > grant["token"]) == (grant["task_id"], True)


async def test_token_of_another_engine_is_stale_and_a_malformed_task_is_missing(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        _, grant = await granted(server)
        other = await server.new_engine(name="other", boot_id="boot-0002")
        foreign = await said(server, other, grant, "ack")
        odd = await said(server, other, {"task_id": "no-task", "token": 1}, "ack")
        bare = await said(server, other, {"task_id": grant["task_id"], "token": 0}, "complete")

    assert [head_of(answer) for answer in (foreign, odd, bare)] == [
        (409, "STALE_LEASE"),
        (404, "TASK_NOT_FOUND"),
        (422, "VALIDATION_FAILED"),
    ]
