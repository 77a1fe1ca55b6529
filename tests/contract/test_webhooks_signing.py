"""What receivers verify: signatures by the library, rotation, and secrets that lie sealed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from standardwebhooks.webhooks import Webhook

from dispatch.clock import SystemClock
from protocol.errors import ErrorCode, ReelyardError
from protocol.webhooks import DeliveryState, SecretReply
from tests.contract.services_world import CLIENT, OTHER, Moments
from tests.contract.webhook_receiver import receiver
from tests.contract.webhooks_world import webhooks_world


async def test_an_endpoint_is_told_in_the_form_its_library_verifies(tmp_path: Path) -> None:
    async with receiver() as to, webhooks_world(tmp_path, [to.port], clock=Moments(SystemClock().now())) as world:
        _, secret = await world.endpoint(to.url("/in"))
        job_id = await world.finish("a", user_metadata_json='{"title":"Opening night"}')
        (got,) = await to.until(1)
        (row,) = await world.over()

    body = Webhook(secret).verify(got.body, got.headers)
    assert (body["type"], body["data"]["job_id"], body["data"]["state"]) == ("job.completed", job_id, "completed")
    assert body["data"]["user_metadata"] == {"title": "Opening night"}
    assert (row.state, row.delivery_id, row.payload.encode()) == (DeliveryState.DELIVERED, got.id, got.body)


async def test_a_jobs_own_url_is_signed_with_the_tenants_secret(tmp_path: Path) -> None:
    async with receiver() as to, webhooks_world(tmp_path, [to.port]) as world:
        await world.finish("a", webhook_url=to.url("/own"))
        (got,) = await to.until(1)
        secret = (await world.parts.service.tenant_secret(CLIENT)).secret
        others = (await world.parts.service.tenant_secret(OTHER)).secret

    assert got.is_signed_with(secret)
    assert not got.is_signed_with(others)


async def test_both_secrets_sign_for_a_day_after_a_rotation(tmp_path: Path) -> None:
    async with receiver() as to, webhooks_world(tmp_path, [to.port]) as world:
        endpoint_id, old = await world.endpoint(to.url("/in"))
        answer = await world.parts.service.rotate_endpoint_secret(CLIENT, endpoint_id)
        rotated = SecretReply.model_validate_json(answer.body)
        await world.finish("a")
        await to.until(1)
        await world.advance(86_400.0)
        await world.finish("b")
        within, after = await to.until(2)

    assert rotated.secret != old
    assert rotated.previous_until is not None
    assert (within.is_signed_with(old), within.is_signed_with(rotated.secret)) == (True, True)
    assert (after.is_signed_with(old), after.is_signed_with(rotated.secret)) == (False, True)


async def test_secrets_are_sealed_in_the_database(tmp_path: Path) -> None:
    async with webhooks_world(tmp_path, [80]) as world:
        _, secret = await world.endpoint("http://127.0.0.1/in")
        own = (await world.parts.service.tenant_secret(CLIENT)).secret
        endpoints, kept = await world.store.read(lambda tx: (tx.endpoints_of(None), tx.webhook_secrets("default")))

    stored = " ".join((*endpoints[0].secrets, *(kept or ())))
    assert len(endpoints[0].secrets) == 1
    assert secret.removeprefix("whsec_") not in stored
    assert own.removeprefix("whsec_") not in stored


async def test_a_secret_of_another_server_is_a_failed_try_until_it_is_rotated(tmp_path: Path) -> None:
    async with receiver() as to, webhooks_world(tmp_path, [to.port]) as world:
        endpoint_id, _ = await world.endpoint(to.url("/in"))
        endpoint = (await world.store.read(lambda tx: tx.endpoints_of(None)))[0]
        await world.store.transact(lambda tx: tx.put_endpoint(replace(endpoint, secrets=("0:Zm9yZWlnbg",))))
        await world.finish("a")
        row = await world.tried(1)
        with pytest.raises(ReelyardError) as unreadable:
            await world.parts.service.endpoint_secret(CLIENT, endpoint_id)
        answer = await world.parts.service.rotate_endpoint_secret(CLIENT, endpoint_id)
        rotated = SecretReply.model_validate_json(answer.body)
        await world.advance(5.0)
        (got,) = await to.until(1)

    (entry,) = orjson.loads(row.log_json)
    assert entry["error"] == "there is no signing secret that this server can read; rotate it"
    assert unreadable.value.code is ErrorCode.SECRET_UNREADABLE
    assert got.is_signed_with(rotated.secret)


async def test_a_job_of_a_tenant_that_is_no_row_is_a_failed_try(tmp_path: Path) -> None:
    async with webhooks_world(tmp_path, [80]) as world:
        await world.finish("a", tenant="ghost", webhook_url="http://127.0.0.1/in")
        row = await world.tried(1)

    assert (row.state, len(orjson.loads(row.log_json))) == (DeliveryState.PENDING, 1)
