"""Dead letters: what failed by no fault of its client, looked at, tried again or discarded."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dispatch.core.audit import AuditFilter
from dispatch.core.callers import Caller
from dispatch.core.dead_letters import LISTING
from dispatch.core.paging import Wanted, wanted_of
from protocol.admin import Scope
from protocol.errors import ErrorCode, FailureClass, ReelyardError
from protocol.jobs import JobView, RetryRequest
from tests.contract.api_server import head_of, served
from tests.contract.care_world import completed, failed
from tests.contract.services_world import World, world

ADMIN = Caller("key_admin", "default", frozenset({Scope.ADMIN}))


@pytest.fixture
async def farm(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made


async def test_only_failures_that_are_not_the_clients_are_listed_newest_first(farm: World) -> None:
    listed = []
    for code, kind in (
        (ErrorCode.TOOL_FAILED, FailureClass.ENGINE),
        (ErrorCode.INPUT_CORRUPT, FailureClass.INPUT),
        (ErrorCode.TASK_POISONOUS, FailureClass.POLICY),
        (ErrorCode.JOB_EXPIRED, FailureClass.POLICY),
        (ErrorCode.PLUGIN_FAILED, FailureClass.INTERNAL),
    ):
        listed.append(await failed(farm, code, kind))
        farm.clock.advance(1)
    await completed(farm)

    page = await farm.core.services.care.dead_letters.list(Wanted())

    assert [row.job_id for row in page.dead_letters] == [listed[4], listed[2], listed[0]]
    assert page.total == 3
    row = page.dead_letters[-1]
    assert (row.error.code, row.error.evidence, row.tenant, row.profile) == ("TOOL_FAILED", {"exit": "1"}, "default", "web")
    assert [attempt.error for attempt in row.attempts] == ["it broke"]


async def test_the_list_goes_on_behind_its_cursor(farm: World) -> None:
    jobs = [await failed(farm) for _ in range(3)]

    first = await farm.core.services.care.dead_letters.list(Wanted(limit=2))
    assert first.next_cursor is not None
    rest = await farm.core.services.care.dead_letters.list(wanted_of({"cursor": first.next_cursor}, LISTING))

    assert sorted(row.job_id for row in (*first.dead_letters, *rest.dead_letters)) == sorted(jobs)
    assert rest.next_cursor is None


async def test_a_dead_letter_is_tried_again_and_leaves_the_list(farm: World) -> None:
    job_id = await failed(farm)
    letters = farm.core.services.care.dead_letters

    answer = await letters.retry(ADMIN, job_id, RetryRequest(priority=7))
    view = JobView.model_validate_json(answer.body)

    assert (view.state, view.priority) == ("retrying", 7)
    assert (await letters.list(Wanted())).total == 0
    entry = (await farm.core.services.audit.list(AuditFilter())).audit[0]
    assert (entry.actor, entry.action, entry.target) == (ADMIN.key_id, "retry_dead_letter", job_id)


async def test_a_discarded_dead_letter_leaves_nothing(farm: World) -> None:
    job_id = await failed(farm)

    view = await farm.core.services.care.dead_letters.discard(ADMIN, job_id)
    await farm.duty("removals")

    assert (view.job_id, view.state, farm.files()) == (job_id, "failed", [])
    assert await farm.core.outside.store.read(lambda tx: tx.graphs([job_id])) == {}


async def test_what_is_no_dead_letter_is_not_found(farm: World) -> None:
    clients = await failed(farm, ErrorCode.INPUT_CORRUPT, FailureClass.INPUT)
    letters = farm.core.services.care.dead_letters

    for job_id in (clients, "job_never"):
        with pytest.raises(ReelyardError) as retry:
            await letters.retry(ADMIN, job_id, RetryRequest())
        with pytest.raises(ReelyardError) as discard:
            await letters.discard(ADMIN, job_id)
        assert (retry.value.code, discard.value.code) == (ErrorCode.JOB_NOT_FOUND, ErrorCode.JOB_NOT_FOUND)


async def test_dead_letters_are_for_admins(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        key = await server.new_key("jobs:read", "jobs:write")
        paths = (("GET", ""), ("POST", "/job_1/retry"), ("DELETE", "/job_1"))
        refused = [head_of(await server.call(method, f"/api/v1/admin/dead-letter{path}", key=key)) for method, path in paths]
        empty = await server.call("GET", "/api/v1/admin/dead-letter?limit=10")
        missing = [await server.call(method, f"/api/v1/admin/dead-letter{path}") for method, path in paths[1:]]

    assert refused == [(403, "FORBIDDEN")] * 3
    assert (empty.status, empty.json["dead_letters"], empty.json["limit"]) == (200, [], 10)
    assert [head_of(answer) for answer in missing] == [(404, "JOB_NOT_FOUND")] * 2
