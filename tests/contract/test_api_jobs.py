"""Jobs over HTTP: submit once, look, list, cancel, retry; and the work of an engine on them."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.contract.api_server import ENGINE, Json, Server, served, until

JOBS = "/api/v1/jobs"


async def test_submitted_job_is_where_its_location_says(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        made = await server.call("POST", JOBS, json={"profile": "noop", "priority": 7, "metadata": {"title": "x"}})
        found = await server.call("GET", made.headers["Location"])

    assert (made.status, found.status, made.headers["ETag"], found.headers["ETag"]) == (202, 200, '"1"', '"1"')
    assert made.json == found.json
    assert (made.json["priority"], made.json["user_metadata"], made.json["state"]) == (7, {"title": "x"}, "pending")


async def test_same_key_and_body_is_one_job(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        keyed = {"Idempotency-Key": "first"}
        first = await server.call("POST", JOBS, json={"profile": "noop"}, headers=keyed)
        again = await server.call("POST", JOBS, json={"profile": "noop"}, headers=keyed)
        other = await server.call("POST", JOBS, json={"profile": "noop", "priority": 9}, headers=keyed)
        listed = await server.call("GET", JOBS)

    assert (again.status, again.body, again.headers["Idempotent-Replayed"]) == (202, first.body, "true")
    assert "Idempotent-Replayed" not in first.headers
    assert ((other.status, other.code), listed.json["total"]) == ((422, "IDEMPOTENCY_MISMATCH"), 1)


async def test_bad_submission_of_a_batch_refuses_itself_alone(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        jobs = [{"profile": "noop"}, {"profile": "noop", "priority": 11}, {"profile": "never"}]
        answer = await server.call("POST", f"{JOBS}/batch", json={"jobs": jobs})

    wrong = answer.json["jobs"][1]["error"]
    assert wrong["message"] == "priority: Input should be less than or equal to 10"
    assert wrong["request_id"] == answer.headers["X-Request-Id"]
    told = [(item["status"], (item["error"] or {}).get("code")) for item in answer.json["jobs"]]
    assert (answer.status, told) == (202, [(202, None), (422, "VALIDATION_FAILED"), (422, "PROFILE_NOT_FOUND")])


async def test_held_version_is_not_sent_again(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        job = await server.submit()
        path = f"{JOBS}/{job['job_id']}"
        held = await server.call("GET", path, headers={"If-None-Match": '"1"'})
        head = await server.call("HEAD", path)
        await server.call("POST", f"{path}/cancel")
        changed = await server.call("GET", path, headers={"If-None-Match": '"1"'})

    assert (held.status, held.body, held.headers["ETag"]) == (304, b"", '"1"')
    assert (head.status, head.body, head.headers["ETag"]) == (200, b"", '"1"')
    assert head.headers["Last-Modified"].endswith("GMT")
    assert (changed.status, changed.json["state"]) == (200, "cancelled")


async def test_cancelling_twice_is_harmless(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        job = await server.submit()
        first = await server.call("DELETE", f"{JOBS}/{job['job_id']}")
        second = await server.call("POST", f"{JOBS}/{job['job_id']}/cancel")

    assert (first.status, first.json["state"], second.status, second.json["state"]) == (200, "cancelled", 200, "cancelled")


async def test_retry_needs_a_failed_job_and_no_body(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        job = await server.submit()
        answer = await server.call("POST", f"{JOBS}/{job['job_id']}/retry")

    assert (answer.status, answer.code) == (409, "INVALID_TRANSITION")


async def test_list_is_paged_by_cursor_without_gap_or_repetition(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        made = {(await server.submit())["job_id"] for _ in range(5)}
        seen: list[str] = []
        url: str | None = f"{JOBS}?limit=2"
        while url is not None:
            page = await server.call("GET", url)
            seen += [job["job_id"] for job in page.json["jobs"]]
            url = page.json["next_page_url"]

    assert (sorted(seen), len(seen)) == (sorted(made), 5)


async def test_path_outside_the_allowed_roots_is_refused(tmp_path: Path) -> None:
    async with served(tmp_path / "data", allowed_roots=(tmp_path / "open",)) as server:
        outside = await server.call("POST", f"{JOBS}/filesystem", json={"file_path": "/etc/passwd"})
        missing = await server.call("POST", f"{JOBS}/filesystem", json={"file_path": str(tmp_path / "open" / "none.mp4")})

    assert ((outside.status, outside.code), (missing.status, missing.code)) == (
        (403, "PATH_NOT_ALLOWED"),
        (422, "INPUT_NOT_FOUND"),
    )


async def test_waiting_job_tells_why(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        job = await server.submit()
        answer = await server.call("GET", f"{JOBS}/{job['job_id']}/why")

    assert (answer.status, answer.json["state"], answer.json["engines"]) == (200, "pending", [])


async def test_outputs_of_an_unfinished_job_are_not_ready(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        job = await server.submit()
        outputs = await server.call("GET", f"{JOBS}/{job['job_id']}/outputs")
        file = await server.call("GET", f"{JOBS}/{job['job_id']}/files/web/a.mp4")

    assert ((outputs.status, outputs.code), (file.status, file.code)) == ((409, "OUTPUTS_NOT_READY"), (409, "OUTPUTS_NOT_READY"))


async def test_engine_runs_a_job_to_its_end(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        engine, job = await server.new_engine(), await server.submit()
        (grant,) = (await server.lease(engine, "r1"))["tasks"]
        again = await server.lease(engine, "r1")
        started = await server.report(engine, grant, "start")
        done = await server.report(engine, grant, "complete", result={})
        events = await server.call("GET", f"{JOBS}/{job['job_id']}/events")
        found = await server.call("GET", f"{JOBS}/{job['job_id']}")

    assert (grant["job_id"], again["tasks"]) == (job["job_id"], [grant])
    assert [answer.json["settled"][0]["error"] for answer in (started, done)] == [None, None]
    assert (found.json["state"], b"event: JobFinished" in events.body) == ("completed", True)


async def test_foreign_token_is_stale(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        engine = await server.new_engine()
        await server.submit()
        (grant,) = (await server.lease(engine, "r1"))["tasks"]
        late = await server.report(engine, {**grant, "token": grant["token"] + 1}, "start")
        uploads = await server.call(
            "POST", f"/api/v1/tasks/{grant['task_id']}/uploads", key=engine[1], json={"token": grant["token"] + 1, "paths": ["a"]}
        )

    assert late.json["settled"][0]["error"] == "STALE_LEASE"
    assert (uploads.status, uploads.code) == (409, "STALE_LEASE")


async def test_known_engine_keeps_its_identity(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        engine_id, credential = await server.new_engine()
        again = await server.call("POST", "/api/v1/engines/register", key=credential, json=ENGINE)
        unknown = await server.call("POST", "/api/v1/engines/register", key="ec_forged", json=ENGINE)
        both = await server.call(
            "POST",
            "/api/v1/engines/register",
            key=server.core.outside.secrets.registration,
            headers={"Authorization": f"Bearer {credential}"},
            json=ENGINE,
        )

    assert (again.json["engine_id"], again.json["credential"]) == (engine_id, None)
    assert (unknown.status, both.json["engine_id"]) == (401, engine_id)


async def test_operators_change_and_remove_an_engine(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        engine_id, credential = await server.new_engine()
        path = f"/api/v1/engines/{engine_id}"
        held = await server.call("GET", path, headers={"If-None-Match": '"1"'})
        patched = await server.call("PATCH", path, json={"tags": ["site:oslo"]})
        drained = await server.call("POST", f"{path}/drain")
        back = await server.call("POST", f"{path}/undrain")
        gone = await server.call("DELETE", path)
        missing = await server.call("GET", path)
        late = await server.call("POST", f"{path}/offline", key=credential)

    assert (held.status, patched.json["tags"], drained.json["state"], back.json["state"]) == (
        304,
        ["site:oslo"],
        "draining",
        "online",
    )
    assert (gone.status, (missing.status, missing.code), late.status) == (200, (404, "ENGINE_NOT_FOUND"), 401)


async def test_stopping_answers_an_open_long_poll(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        engine, job = await server.new_engine(), await server.submit()
        silent = await _reasons(server, job)
        async with asyncio.TaskGroup() as tasks:
            poll = tasks.create_task(server.lease(engine, "r1", slots=0, wait_s=60.0))

            async def asks() -> bool:
                return await _reasons(server, job) != silent

            await until(asks)
            await server.web.cleanup()

    assert poll.result()["error"]["code"] == "NOT_LEADER"  # whoever leads next is to be asked


async def _reasons(server: Server, job: Json) -> list[str]:
    """Why each engine does not run the job; an engine that asks has another reason than one that does not."""
    answer = await server.call("GET", f"{JOBS}/{job['job_id']}/why")
    return [engine["reason"] for engine in answer.json["engines"]]
