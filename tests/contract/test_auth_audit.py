"""The audit log: an entry for each change, in the transaction of the change, and none for what changed nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import dispatch.services
from dispatch.core.audit import AuditFilter
from dispatch.core.callers import Caller
from dispatch.core.paging import Wanted
from dispatch.core.records import Tenant
from dispatch.ports import Store, Transaction
from dispatch.services.audit import AuditService, audited
from protocol.admin import AuditView, Scope
from protocol.errors import FailureClass, ReelyardError
from protocol.jobs import JobPatch, RetryRequest
from protocol.operations import OPERATIONS
from tests.contract.services_world import CLIENT, World, world
from tests.contract.store_adapters import ADAPTERS, open_store
from tests.unit.dispatch_jobs import fail, failure

ADMIN = Caller("key_9", "default", frozenset({Scope.ADMIN}), "192.0.2.7", "req-00000001")
SUBMISSIONS = frozenset({"submit_job", "submit_batch", "upload_job", "submit_filesystem", "submit_s3", "submit_minio"})
BYTES_OF_SUBMISSIONS = frozenset(
    {"create_upload", "continue_upload", "end_upload", "override_upload", "direct_upload", "finish_upload"}
)
CHANGES_NOTHING = frozenset({"validate_job", "upload_options", "test_webhook_endpoint"})
NOT_OF_A_PERSON = frozenset({Scope.ENGINE, Scope.REGISTRATION, Scope.OPEN})


@pytest.fixture
async def farm(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made


async def entries(farm: World) -> list[AuditView]:
    return list(reversed((await farm.core.services.audit.list(AuditFilter())).audit))


def test_every_call_that_changes_something_has_its_name_in_the_log() -> None:
    (folder,) = dispatch.services.__path__
    services = "".join(path.read_text() for path in Path(folder).glob("*.py"))
    changing = {o.name for o in OPERATIONS if o.method != "GET" and o.scope not in NOT_OF_A_PERSON}

    silent = {name for name in changing if f'"{name}"' not in services}

    assert silent == SUBMISSIONS | BYTES_OF_SUBMISSIONS | CHANGES_NOTHING


async def test_a_submission_is_not_in_the_log_and_what_is_done_to_the_job_is(farm: World) -> None:
    jobs, job_id = farm.core.services.jobs, await farm.submit()

    await jobs.patch(CLIENT, job_id, JobPatch(priority=7, metadata={"secret": "of the client"}), None)
    for _ in range(2):
        await jobs.cancel(CLIENT, job_id)

    assert [(row.action, row.target, row.details) for row in await entries(farm)] == [
        ("patch_job", job_id, {"fields": ["metadata", "priority"]}),
        ("cancel_job", job_id, {}),
    ]


async def test_a_retry_is_in_the_log_and_a_refused_one_is_not(farm: World) -> None:
    jobs, engine, job_id = farm.core.services.jobs, await farm.register(), await farm.submit()
    with pytest.raises(ReelyardError, match="INVALID_TRANSITION"):
        await jobs.retry(CLIENT, job_id, RetryRequest())
    grant = await farm.grant(engine.engine_id, job_id)
    await farm.settle(engine.engine_id, fail(grant.token, failure(FailureClass.INPUT), grant.task_id))

    await jobs.retry(CLIENT, job_id, RetryRequest(priority=3))

    assert [(row.action, row.actor, row.details) for row in await entries(farm)] == [("retry_job", "key_1", {"priority": 3})]


@pytest.fixture(params=ADAPTERS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(request.param, tmp_path) as opened:
        yield opened


async def test_an_entry_tells_who_from_where_and_with_which_request(store: Store) -> None:
    await store.transact(lambda tx: audited(tx, ADMIN, "patch_tenant", "acme", {"weight": 2.0}, now=1_800_000_000.0))

    page = await AuditService(store).list(AuditFilter())

    assert page.audit == (
        AuditView(
            audit_id="aud_000000000001",
            at="2027-01-15T08:00:00.000Z",
            tenant="default",
            actor="key_9",
            action="patch_tenant",
            target="acme",
            address="192.0.2.7",
            request_id="req-00000001",
            details={"weight": 2.0},
        ),
    )


async def test_an_entry_shares_the_fate_of_the_change(store: Store) -> None:
    def failing(tx: Transaction) -> None:
        tx.put_tenant(Tenant("acme", 1.0, 0.0))
        audited(tx, ADMIN, "create_tenant", "acme", now=1.0)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await store.transact(failing)
    await store.transact(lambda tx: audited(tx, ADMIN, "create_tenant", "other", now=1.0))

    assert [(row.audit_id, row.target) for row in (await AuditService(store).list(AuditFilter())).audit] == [
        ("aud_000000000001", "other")
    ]


async def test_the_log_is_searched_by_who_what_and_when_and_paged_newest_first(store: Store) -> None:
    other = Caller("jwt:ci", "acme", frozenset())

    def fill(tx: Transaction) -> None:
        for number in range(6):
            who, action = (ADMIN, other)[number % 2], ("create_key", "revoke_key")[number // 3]
            audited(tx, who, action, f"key_{number}", now=float(number))

    await store.transact(fill)
    audit = AuditService(store)

    async def targets(wanted: AuditFilter) -> tuple[list[str], int]:
        page = await audit.list(wanted)
        return [row.target for row in page.audit], page.total

    assert await targets(AuditFilter(actor="jwt:ci")) == (["key_5", "key_3", "key_1"], 3)
    assert await targets(AuditFilter(actor="key_9", action="revoke_key")) == (["key_4"], 1)
    assert await targets(AuditFilter(since=4.0)) == (["key_5", "key_4"], 2)
    assert await targets(AuditFilter(page=Wanted(limit=2, after=("aud_000000000005",)))) == (["key_3", "key_2"], 6)
