"""What two servers on one database may not do at once: send to one file, run one keyed call whose work begins at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeVar

import pytest

from dispatch.core.cluster import ServerRow
from dispatch.events.bus import CommitBus
from dispatch.ports import Store, Transaction
from dispatch.services.claims import GONE_S, Claimed, Claims
from protocol.errors import ErrorCode, ReelyardError
from tests.contract.farm_of_two import assembled
from tests.contract.services_world import Moments
from tests.contract.store_adapters import open_store, postgres_store
from tests.servers.postgres import database
from tests.unit.dispatch_jobs import NOW

T = TypeVar("T")
FILE = Claimed("bytes", "upl_1", ErrorCode.UPLOAD_LOCKED)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store("inline", tmp_path) as made:
        await seen(made, "a")
        await seen(made, "b")
        yield made


async def seen(store: Store, name: str, *, ago_s: float = 0.0, boot: str | None = None) -> None:
    def put(tx: Transaction) -> None:
        moment = tx.moment()
        tx.put_server(ServerRow(f"srv_{name}", boot or f"run_{name}", "", "0.1", moment, moment - ago_s))

    await store.transact(put)


def claims(store: Store, name: str, *, is_shared: bool = True, later_s: float = 0.0) -> Claims:
    return Claims(store, Moments(NOW + later_s), f"run_{name}", is_shared=is_shared)


async def is_free(there: Claims, wanted: Claimed = FILE) -> bool:
    try:
        async with there.held(wanted):
            return True
    except ReelyardError as refused:
        return refused.code is not wanted.busy


async def test_what_one_server_holds_another_does_not_get(store: Store) -> None:
    async with claims(store, "a").held(FILE):
        assert not await is_free(claims(store, "b"))
        assert await is_free(claims(store, "b"), Claimed("bytes", "upl_2", ErrorCode.UPLOAD_LOCKED))
        assert await is_free(claims(store, "b"), Claimed("bytes", "upl_1", ErrorCode.UPLOAD_LOCKED, tenant="acme"))

    assert await is_free(claims(store, "b"))


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt])
async def test_a_call_that_breaks_gives_its_claim_back(store: Store, fault: type[BaseException]) -> None:
    with pytest.raises(fault):
        async with claims(store, "a").held(FILE):
            raise fault

    assert await is_free(claims(store, "b"))


async def test_the_claim_of_a_server_that_is_gone_is_free(store: Store) -> None:
    async with claims(store, "a").held(FILE):
        await seen(store, "a", ago_s=GONE_S - 5.0)
        early = await is_free(claims(store, "b"))
        await seen(store, "a", ago_s=GONE_S + 1.0)
        late = await is_free(claims(store, "b"))

    assert (early, late) == (False, True)


async def test_the_claim_of_an_earlier_run_is_free_once_no_run_can_be_so_new(store: Store) -> None:
    async with claims(store, "a").held(FILE):
        await seen(store, "a", boot="run_a2")
        early = await is_free(claims(store, "b", later_s=GONE_S - 1.0))

        assert (early, await is_free(claims(store, "b", later_s=GONE_S + 1.0))) == (False, True)


async def test_a_claim_taken_over_is_not_given_back_by_who_lost_it(store: Store) -> None:
    first, second = claims(store, "a"), claims(store, "b")
    async with AsyncExitStack() as stack:
        async with first.held(FILE):
            await seen(store, "a", ago_s=GONE_S + 1.0)
            await stack.enter_async_context(second.held(FILE))

        assert not await is_free(first)


class Away:
    """A store that does not answer when it is told so."""

    def __init__(self, store: Store) -> None:
        self._store, self.is_away = store, False
        self.read, self.search = store.read, store.search

    async def transact(self, function: Callable[[Transaction], T]) -> T:
        if self.is_away:
            raise ReelyardError(ErrorCode.DATABASE_UNAVAILABLE)
        return await self._store.transact(function)


async def test_a_claim_that_could_not_be_given_back_is_given_back_later(store: Store) -> None:
    away = Away(store)
    first = claims(away, "a")
    async with first.held(FILE):
        away.is_away = True
    stuck = await is_free(claims(store, "b"))
    away.is_away = False
    await first.run_once()

    assert (stuck, await is_free(claims(store, "b"))) == (False, True)


async def test_a_server_alone_writes_nothing(store: Store) -> None:
    async with claims(store, "a", is_shared=False).held(FILE):
        assert await is_free(claims(store, "b"))


async def test_servers_that_start_at_once_make_one_admin_key_and_one_registration_token(tmp_path: Path) -> None:
    with database() as url:
        async with AsyncExitStack() as stack:
            cores = []
            for name in "abc":
                bus = CommitBus()
                store = await stack.enter_async_context(postgres_store(url, bus, server=f"srv_{name}"))
                cores.append(assembled(tmp_path, name, store, bus, Moments(), {}))
            await asyncio.gather(*(core.load() for core in cores))

            keys = [await core.outside.store.read(lambda tx: tx.keys()) for core in cores]
            callers = [await core.services.keys.authenticate("rk_admin") for core in cores]
            tokens = [core.services.registration.is_token("rt_registration") for core in cores]

    assert [len(found) for found in keys] == [1, 1, 1]
    assert ({caller.key_id for caller in callers}, tokens) == ({keys[0][0].key_id}, [True] * 3)
