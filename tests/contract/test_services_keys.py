"""API keys and tenants: who may call, until when, and that a key is shown once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from dispatch.core.audit import AuditFilter
from dispatch.core.callers import Caller
from dispatch.ports import Store, Transaction
from dispatch.services.keys import KeyService
from protocol.admin import KeyCreated, KeyRequest, RotateRequest, Scope, TenantRequest
from protocol.errors import ErrorCode, ReelyardError
from tests.contract.services_world import World, world

T = TypeVar("T")
ADMIN = Caller("key_1", "default", frozenset({Scope.ADMIN}))


@pytest.fixture
async def farm(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made


async def made(farm: World, **fields: Any) -> KeyCreated:  # any field of a request
    request = KeyRequest(**{"name": "ci", "scopes": frozenset({Scope.JOBS_READ}), **fields})
    answer = await farm.core.services.keys.create(ADMIN, request)
    return KeyCreated.model_validate_json(answer.body)


async def may(farm: World, secret: str, address: str = "") -> bool:
    return await is_known(farm.core.services.keys, secret, address)


async def is_known(keys: KeyService, secret: str, address: str = "") -> bool:
    try:
        await keys.authenticate(secret, address)
    except ReelyardError as error:
        if error.code is not ErrorCode.UNAUTHORIZED:
            raise
        return False
    return True


async def test_the_first_key_is_an_admins_and_made_once(farm: World) -> None:
    await farm.core.load()

    caller = await farm.core.services.keys.authenticate("rk_admin")
    keys, tenants = await farm.core.services.keys.list(), await farm.core.services.tenants.list()

    assert (caller.tenant, caller.is_admin, caller.may(Scope.JOBS_WRITE)) == ("default", True, True)
    assert ([key.name for key in keys.api_keys], [tenant.name for tenant in tenants.tenants]) == (
        ["first admin key"],
        ["default"],
    )


async def test_a_key_says_who_calls_and_what_they_may(farm: World) -> None:
    await farm.core.services.tenants.create(ADMIN, TenantRequest(name="acme", weight=2.0))
    key = await made(farm, tenant="acme")

    caller = await farm.core.services.keys.authenticate(key.api_key)

    assert caller == Caller(key.key_id, "acme", frozenset({Scope.JOBS_READ}), jobs_per_hour=100)
    assert (caller.may(Scope.JOBS_READ), caller.may(Scope.JOBS_WRITE), caller.sees("default")) == (True, False, False)


async def test_a_key_is_shown_once(farm: World) -> None:
    key = await made(farm)

    listed = (await farm.core.services.keys.list()).model_dump_json()

    assert key.api_key not in listed
    assert key.api_key.startswith(key.prefix)
    assert len(key.prefix) < len(key.api_key)


@pytest.mark.parametrize("secret", ["", "rk_", "rk_guess", "rk_admi", "rk_admin ", "RK_ADMIN"])
async def test_a_wrong_key_is_refused(farm: World, secret: str) -> None:
    assert not await may(farm, secret)


async def test_a_key_ends_at_its_moment(farm: World) -> None:
    key = await made(farm, expires_at="2027-01-15T08:01:00Z")

    assert await may(farm, key.api_key)
    farm.clock.advance(59.9)
    assert await may(farm, key.api_key)
    farm.clock.advance(0.1)
    assert not await may(farm, key.api_key)


async def test_a_revoked_key_is_worth_nothing_at_once_and_stays_so(farm: World) -> None:
    key = await made(farm)
    assert await may(farm, key.api_key)

    view = await farm.core.services.keys.revoke(ADMIN, key.key_id)
    again = await farm.core.services.keys.revoke(ADMIN, key.key_id)

    assert not await may(farm, key.api_key)
    assert (view.revoked_at is not None, again) == (True, view)


class LateReads:
    """A store whose reads are answered late: what they found may have changed by then."""

    def __init__(self, store: Store) -> None:
        self.transact, self.search, self._store = store.transact, store.search, store
        self.read_something, self.may_answer = asyncio.Event(), asyncio.Event()

    async def read(self, function: Callable[[Transaction], T]) -> T:
        found = await self._store.read(function)
        self.read_something.set()
        await self.may_answer.wait()
        return found


async def test_a_key_revoked_while_it_is_looked_up_is_not_remembered(farm: World) -> None:
    key = await made(farm)
    await may(farm, key.api_key)
    late = LateReads(farm.core.outside.store)
    keys = KeyService(late, farm.core.services.idempotency, farm.core.outside.ids, farm.clock, jobs_per_hour=100)
    farm.core.outside.bus.add(keys)

    async with asyncio.TaskGroup() as owner:
        looking = owner.create_task(is_known(keys, key.api_key))
        await late.read_something.wait()
        await keys.revoke(ADMIN, key.key_id)
        late.may_answer.set()

    assert not looking.result()
    assert not await is_known(keys, key.api_key)


async def test_the_last_use_is_noted_at_most_once_a_minute(farm: World) -> None:
    key = await made(farm)
    seen = []
    for seconds in (0, 30, 31):
        farm.clock.advance(seconds)
        await may(farm, key.api_key)
        seen.append(next(k.last_used_at for k in (await farm.core.services.keys.list()).api_keys if k.key_id == key.key_id))

    assert seen == ["2027-01-15T08:00:00.000Z", "2027-01-15T08:00:00.000Z", "2027-01-15T08:01:01.000Z"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"tenant": "nobody"}, "tenant"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"expires_at": "2027-01-15T08:00:00Z"}, "expires_at"),
        ({"allowed_ips": ("192.0.2.1/24",)}, "allowed_ips"),
        ({"allowed_ips": ("192.0.2.1", "box.local")}, "allowed_ips"),
        ({"scopes": frozenset({Scope.REGISTRATION})}, "scopes"),
        ({"scopes": frozenset({Scope.JOBS_READ, Scope.OPEN})}, "scopes"),
        ({"expires_at": "0001-01-01T00:00:00+14:00"}, "expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-14:00"}, "expires_at"),
    ],
)
async def test_a_key_that_cannot_be_is_refused_by_field(farm: World, fields: dict[str, Any], field: str) -> None:
    with pytest.raises(ReelyardError) as refused:
        await made(farm, **fields)

    assert refused.value.details["problems"][0]["field"] == field  # type: ignore[index]  # rows of what is wrong
    assert (await farm.core.services.keys.list()).total == 1


async def test_a_key_nobody_knows_cannot_be_revoked(farm: World) -> None:
    with pytest.raises(ReelyardError, match="KEY_NOT_FOUND"):
        await farm.core.services.keys.revoke(ADMIN, "key_none")


async def test_a_tenant_is_made_once(farm: World) -> None:
    await farm.core.services.tenants.create(ADMIN, TenantRequest(name="acme"))

    with pytest.raises(ReelyardError, match="VALIDATION_FAILED"):
        await farm.core.services.tenants.create(ADMIN, TenantRequest(name="acme"))

    assert (await farm.core.services.tenants.list()).total == 2


async def test_a_key_is_used_from_its_networks_alone(farm: World) -> None:
    key = await made(farm, allowed_ips=("192.0.2.0/24", "2001:db8::7"))

    answers = [await may(farm, key.api_key, address) for address in ("192.0.2.7", "2001:db8::7", "192.0.3.7", "2001:db8::8", "")]

    assert (key.allowed_ips, answers) == (("192.0.2.0/24", "2001:db8::7/128"), [True, True, False, False, False])


async def test_a_key_makes_a_hundred_jobs_an_hour_unless_an_admin_says_otherwise(farm: World) -> None:
    keys = [await made(farm), await made(farm, rate_limit_per_hour=7), await made(farm, rate_limit_per_hour=None)]

    callers = [await farm.core.services.keys.authenticate(secret) for secret in ("rk_admin", *(key.api_key for key in keys))]

    assert [caller.jobs_per_hour for caller in callers] == [None, 100, 7, None]


async def rotated(farm: World, key_id: str, **fields: Any) -> KeyCreated:  # any field of a request
    answer = await farm.core.services.keys.rotate(ADMIN, key_id, RotateRequest(**fields))
    return KeyCreated.model_validate_json(answer.body)


async def test_after_a_rotation_both_secrets_are_good_for_the_overlap(farm: World) -> None:
    before = await made(farm)
    await may(farm, before.api_key)

    after = await rotated(farm, before.key_id, overlap_s=60.0)

    assert (after.key_id, after.previous_until) == (before.key_id, "2027-01-15T08:01:00.000Z")
    assert after.api_key.startswith(after.prefix)
    farm.clock.advance(59.9)
    assert [await may(farm, secret) for secret in (before.api_key, after.api_key)] == [True, True]
    farm.clock.advance(0.1)
    assert [await may(farm, secret) for secret in (before.api_key, after.api_key)] == [False, True]


async def test_a_rotation_without_overlap_ends_the_secret_at_once(farm: World) -> None:
    before = await made(farm)
    await may(farm, before.api_key)

    after = await rotated(farm, before.key_id, overlap_s=0.0)

    assert [await may(farm, secret) for secret in (before.api_key, after.api_key)] == [False, True]


async def test_a_second_rotation_ends_the_first_secret(farm: World) -> None:
    first = await made(farm)
    second = await rotated(farm, first.key_id)
    await may(farm, first.api_key)

    third = await rotated(farm, first.key_id)

    assert [await may(farm, key.api_key) for key in (first, second, third)] == [False, True, True]


async def test_revoking_ends_both_secrets(farm: World) -> None:
    first = await made(farm)
    second = await rotated(farm, first.key_id)
    assert [await may(farm, key.api_key) for key in (first, second)] == [True, True]

    await farm.core.services.keys.revoke(ADMIN, first.key_id)

    assert [await may(farm, key.api_key) for key in (first, second)] == [False, False]


@pytest.mark.parametrize("ending", ["revoked", "expired"])
async def test_a_key_that_has_ended_is_not_rotated(farm: World, ending: str) -> None:
    key = await made(farm, expires_at="2027-01-15T08:01:00Z")
    if ending == "revoked":
        await farm.core.services.keys.revoke(ADMIN, key.key_id)
    else:
        farm.clock.advance(60.0)

    with pytest.raises(ReelyardError, match="KEY_ENDED"):
        await rotated(farm, key.key_id)


async def test_a_secret_rotated_away_does_not_come_back_by_a_restart(farm: World) -> None:
    first = await farm.core.services.keys.authenticate("rk_admin")
    for _ in range(2):
        await rotated(farm, first.key_id, overlap_s=0.0)

    await farm.core.load()

    assert not await may(farm, "rk_admin")
    assert (await farm.core.services.keys.list()).total == 1


async def test_a_new_admin_secret_in_the_data_directory_is_a_new_admin_key(farm: World) -> None:
    await farm.core.services.keys.ensure_first("rk_made_anew", is_fresh=True)

    caller = await farm.core.services.keys.authenticate("rk_made_anew")

    assert (caller.is_admin, caller.jobs_per_hour) == (True, None)


async def test_what_admins_do_with_keys_is_in_the_audit_log_without_a_secret(farm: World) -> None:
    key = await made(farm)
    after = await rotated(farm, key.key_id, overlap_s=5.0)
    for _ in range(2):
        await farm.core.services.keys.revoke(ADMIN, key.key_id)

    page = await farm.core.services.audit.list(AuditFilter())

    assert [(row.action, row.target, row.actor) for row in page.audit] == [
        ("revoke_key", key.key_id, "key_1"),
        ("rotate_key", key.key_id, "key_1"),
        ("create_key", key.key_id, "key_1"),
    ]
    assert not [secret for secret in (key.api_key, after.api_key) if secret in page.model_dump_json()]
