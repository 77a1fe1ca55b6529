"""The generic function around an effect: stored with it, forgotten with it, and after a day."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from dispatch.core.callers import Caller, IdempotencyKey
from dispatch.core.records import Tenant
from dispatch.ports import Store, Transaction
from dispatch.services.idempotency import Answered, Idempotency, KeyRules
from dispatch.services.sealing import Sealer
from protocol.admin import Scope
from protocol.errors import ReelyardError
from protocol.jobs import JobSubmission
from tests.contract.services_world import CLIENT, Moments, World, job_of, world
from tests.contract.store_adapters import ADAPTERS, open_store

ADMIN = Caller("key_1", "default", frozenset({Scope.ADMIN}))
KEY = IdempotencyKey("create_tenant", "k-1", "f" * 64)
MADE = Answered(201, b'{"name":"acme"}', {"Location": "/api/v1/admin/tenants/acme"})


@pytest.fixture(params=ADAPTERS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(request.param, tmp_path) as opened:
        yield opened


def once_on(store: Store, secret: bytes = b"of this server") -> Idempotency:
    chance = iter(range(1000))
    return Idempotency(store, Sealer(secret, lambda: str(next(chance))), Moments(), KeyRules("run_1"))


def making(tx: Transaction) -> Answered:
    tx.put_tenant(Tenant("acme", 1.0, 0.0))
    return MADE


async def tenants(store: Store) -> list[str]:
    return await store.read(lambda tx: [tenant.name for tenant in tx.tenants()])


async def test_an_effect_without_a_key_is_made_and_not_remembered(store: Store) -> None:
    once = once_on(store)

    answer = await once.transact(ADMIN, None, making)

    assert (answer, await once.replay(ADMIN, KEY), await once.replay(ADMIN, None)) == (MADE, None, None)


@pytest.mark.parametrize("has_secret", [False, True])
async def test_the_answer_is_stored_with_the_effect(store: Store, has_secret: bool) -> None:
    once = once_on(store)

    first = await once.transact(ADMIN, KEY, making, has_secret=has_secret)
    again = await once_on(store).replay(ADMIN, KEY)  # by another run of the server

    unseen = {"Cache-Control": "no-store"} if has_secret else {}
    assert first == Answered(MADE.status, MADE.body, {**MADE.headers, **unseen})
    assert again == replace(first, replayed=True)


async def test_an_effect_that_fails_leaves_neither_rows_nor_an_answer(store: Store) -> None:
    once = once_on(store)

    def failing(tx: Transaction) -> Answered:
        making(tx)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await once.transact(ADMIN, KEY, failing)
    assert (await tenants(store), await once.replay(ADMIN, KEY)) == ([], None)
    assert await once.transact(ADMIN, KEY, making) == MADE


async def test_an_effect_is_never_made_again(store: Store) -> None:
    once = once_on(store)
    await once.transact(ADMIN, KEY, making)

    def never(tx: Transaction) -> Answered:
        raise AssertionError("made again")

    assert (await once.transact(ADMIN, KEY, never)).replayed


async def test_a_sealed_answer_needs_the_secret_it_was_sealed_with(store: Store) -> None:
    await once_on(store).transact(ADMIN, KEY, making, has_secret=True)

    with pytest.raises(ReelyardError, match="IDEMPOTENCY_MISMATCH: the answer to the first call was sealed"):
        await once_on(store, b"of another").replay(ADMIN, KEY)


async def test_a_key_is_held_by_one_call_at_a_time(store: Store) -> None:
    once = once_on(store)

    with once.held("default", "create_key", "k-1"):
        with pytest.raises(ReelyardError, match="IDEMPOTENCY_IN_PROGRESS"), once.held("default", "create_key", "k-1"):
            pass
        with once.held("acme", "create_key", "k-1"), once.held("default", "create_tenant", "k-1"):
            pass
    with once.held("default", "create_key", "k-1"):
        pass


@pytest.fixture
async def farm(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made


async def test_a_key_is_forgotten_after_a_day(farm: World) -> None:
    key = IdempotencyKey("submit_job", "k-1", "f" * 64)

    async def submit() -> tuple[str, bool]:
        answer = await farm.core.services.submissions.submit(CLIENT, JobSubmission(profile="noop"), key)
        return job_of(answer), answer.replayed

    first = await submit()
    farm.clock.advance(86_399.0)
    await farm.duty("housekeeping")
    within = await submit()
    farm.clock.advance(2.0)
    await farm.duty("housekeeping")
    after = await submit()

    assert (first[1], within, after[1]) == (False, (first[0], True), False)
    assert after[0] != first[0]
