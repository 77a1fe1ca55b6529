"""Who may register an engine, under each of the three policies, and how an operator lets it work."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from config.dispatch import Registration
from dispatch.core.audit import AuditFilter
from dispatch.core.callers import Caller
from dispatch.services.engines import MOST_AWAITING
from dispatch.services.keys import KeyService
from dispatch.services.registration import Admission
from protocol.admin import EnginePatch, KeyCreated, KeyRequest, RegistrationToken, Scope
from protocol.capabilities import Capabilities, RegisterReply, RegisterRequest
from protocol.errors import ReelyardError
from protocol.states import EngineState
from tests.contract.services_world import BOOT, CAN, OPERATOR, SLOTS, World, world

ADMIN = Caller("key_1", "default", frozenset({Scope.ADMIN}))


@asynccontextmanager
async def farm_with(directory: Path, policy: str) -> AsyncIterator[World]:
    async with world(directory, sections={"registration": Registration(policy=policy)}) as made:
        yield made


@pytest.fixture
async def farm(tmp_path: Path) -> AsyncIterator[World]:
    async with farm_with(tmp_path, "token") as made:
        yield made


@pytest.fixture
async def careful(tmp_path: Path) -> AsyncIterator[World]:
    async with farm_with(tmp_path, "approve") as made:
        yield made


async def new_key(keys: KeyService, *scopes: Scope) -> str:
    answer = await keys.create(ADMIN, KeyRequest(name="boxes", scopes=frozenset(scopes)))
    return KeyCreated.model_validate_json(answer.body).api_key


async def knock(farm: World, *, boot: str = BOOT, credential: str | None = None) -> RegisterReply:
    """Registers as the HTTP layer does it, with this credential or nothing at all."""
    shown = [] if credential is None else [credential]
    admission = await farm.core.services.registration.admission(shown)
    request = RegisterRequest(
        name="box", hostname="box.local", boot_id=boot, version="0.1", capabilities=Capabilities(provided=CAN), slots=SLOTS
    )
    return await farm.core.services.engines.register(
        request,
        credential=admission.credential,
        has_registration_token=admission.is_admitted,
        awaits_approval=admission.awaits_approval,
    )


async def state_of(farm: World, engine_id: str) -> EngineState:
    return (await farm.core.services.engines.get(engine_id)).state


@pytest.mark.parametrize(
    ("policy", "admissions"),
    [
        ("token", {"rt_registration": True, "rt_guess": False, "": False}),
        ("auto", {"rt_registration": True, "rt_guess": True, "": True}),
        ("approve", {"rt_registration": True, "rt_guess": True, "": True}),
    ],
)
async def test_each_policy_admits_its_own(tmp_path: Path, policy: str, admissions: Mapping[str, bool]) -> None:
    async with farm_with(tmp_path, policy) as farm:
        registration = farm.core.services.registration
        found = {shown: await registration.admission([shown] if shown else []) for shown in admissions}

    assert {shown: admission.is_admitted for shown, admission in found.items()} == admissions
    assert {admission.awaits_approval for admission in found.values()} == {policy == "approve"}


async def test_what_is_shown_beside_the_token_is_the_engines_credential(farm: World) -> None:
    admission = await farm.core.services.registration.admission(["its credential", "rt_registration"])

    assert admission == Admission(is_admitted=True, awaits_approval=False, credential="its credential")


async def test_a_key_of_scope_engine_registers_engines_and_no_other_key_does(farm: World) -> None:
    keys, registration = farm.core.services.keys, farm.core.services.registration
    shown = [await new_key(keys, Scope.ENGINE), await new_key(keys, Scope.ENGINES_ADMIN), "rk_admin", "rk_guess"]

    admitted = [(await registration.admission([secret])).is_admitted for secret in shown]

    assert admitted == [True, False, False, False]
    assert (await keys.authenticate(shown[0])).scopes == {Scope.ENGINE}


async def test_a_revoked_engine_key_registers_nothing(farm: World) -> None:
    keys, registration = farm.core.services.keys, farm.core.services.registration
    secret = await new_key(keys, Scope.ENGINE)
    assert (await registration.admission([secret])).is_admitted

    await keys.revoke(ADMIN, (await keys.authenticate(secret)).key_id)

    assert not (await registration.admission([secret])).is_admitted


async def test_the_registration_token_is_compared_whole(farm: World) -> None:
    shown = ("rt_registration", "rt_registratio", "rt_registration ", "", "rk_admin")

    assert [farm.core.services.registration.is_token(text) for text in shown] == [True, False, False, False, False]


async def test_a_renewed_token_ends_the_one_before_at_once(farm: World) -> None:
    registration = farm.core.services.registration

    answer = await registration.rotate(ADMIN)

    fresh = RegistrationToken.model_validate_json(answer.body).registration_token
    assert [registration.is_token(text) for text in ("rt_registration", fresh)] == [False, True]
    audit = (await farm.core.services.audit.list(AuditFilter())).audit
    assert [(row.action, row.actor, row.details) for row in audit] == [("rotate_registration_token", "key_1", {})]


async def test_an_engine_that_awaits_approval_is_heard_and_gets_no_work(careful: World) -> None:
    engine = await knock(careful)
    job_id = await careful.submit()

    beat = await careful.beat(engine.engine_id)
    why = await careful.core.services.jobs.why(ADMIN, job_id)

    assert beat.orders == ()
    assert await state_of(careful, engine.engine_id) is EngineState.AWAITING_APPROVAL
    assert [row.reason for row in why.engines] == ["awaits approval"]
    assert await careful.states(job_id) == ("pending", "pending")


async def test_an_approved_engine_is_an_engine_like_any_other(careful: World) -> None:
    engine = await knock(careful)
    job_id = await careful.submit()

    view = await careful.core.services.engines.approve(OPERATOR, engine.engine_id)
    again = await careful.core.services.engines.approve(OPERATOR, engine.engine_id)
    await careful.beat(engine.engine_id)

    assert (view.state, again.state, await state_of(careful, engine.engine_id)) == (EngineState.ONLINE,) * 3
    assert (await careful.core.services.jobs.why(ADMIN, job_id)).engines[0].reason != "awaits approval"


async def test_approval_is_kept_over_a_restart_of_the_engine_and_not_gained_by_one(careful: World) -> None:
    one, other = await knock(careful), await knock(careful)
    await careful.core.services.engines.approve(OPERATOR, one.engine_id)

    again = [await knock(careful, boot="boot-0002", credential=engine.credential) for engine in (one, other)]

    assert [reply.engine_id for reply in again] == [one.engine_id, other.engine_id]
    assert [await state_of(careful, reply.engine_id) for reply in again] == [EngineState.ONLINE, EngineState.AWAITING_APPROVAL]


async def test_an_engine_approved_while_it_is_away_works_when_it_comes_back(careful: World) -> None:
    engine = await knock(careful)
    await careful.core.services.engines.offline(engine.engine_id, BOOT)

    gone = await careful.core.services.engines.approve(OPERATOR, engine.engine_id)
    await knock(careful, boot="boot-0002", credential=engine.credential)

    assert (gone.state, await state_of(careful, engine.engine_id)) == (EngineState.OFFLINE, EngineState.ONLINE)


@pytest.mark.parametrize("asked", ["drain", "pause"])
async def test_an_engine_does_not_pass_approval_by_way_of_another_wish(careful: World, asked: str) -> None:
    engines, engine = careful.core.services.engines, await knock(careful)

    with pytest.raises(ReelyardError, match="ENGINE_NOT_APPROVED"):
        await (
            engines.drain(OPERATOR, engine.engine_id) if asked == "drain" else engines.patch(OPERATOR, engine.engine_id, PAUSED)
        )
    await engines.undrain(OPERATOR, engine.engine_id)
    await engines.patch(OPERATOR, engine.engine_id, EnginePatch(paused=False))

    assert await state_of(careful, engine.engine_id) is EngineState.AWAITING_APPROVAL


PAUSED = EnginePatch(paused=True)


async def test_only_so_many_engines_await_approval_at_once(careful: World) -> None:
    engines = [await knock(careful) for _ in range(MOST_AWAITING)]

    with pytest.raises(ReelyardError, match="RATE_LIMITED"):
        await knock(careful)
    await careful.core.services.engines.approve(OPERATOR, engines[0].engine_id)

    assert await state_of(careful, (await knock(careful)).engine_id) is EngineState.AWAITING_APPROVAL


async def test_what_operators_ask_of_engines_is_in_the_audit_log(farm: World) -> None:
    engine, engines = await farm.register(), farm.core.services.engines

    await engines.drain(OPERATOR, engine.engine_id)
    await engines.undrain(OPERATOR, engine.engine_id)
    await engines.patch(OPERATOR, engine.engine_id, EnginePatch(tags=frozenset({"site:oslo"})))
    await engines.delete(OPERATOR, engine.engine_id)

    rows = (await farm.core.services.audit.list(AuditFilter())).audit
    assert [(row.action, row.details) for row in reversed(rows)] == [
        ("drain_engine", {}),
        ("undrain_engine", {}),
        ("patch_engine", {"tags": ["site:oslo"]}),
        ("delete_engine", {"name": "box"}),
    ]
    assert {(row.target, row.actor) for row in rows} == {(engine.engine_id, "key_3")}
