"""Webhooks: endpoints, secrets, deliveries."""

from __future__ import annotations

from aiohttp import web

from dispatch.api import answers, paging
from dispatch.api.call import Call, Handler
from dispatch.api.keyed import answered, key_of_nothing
from dispatch.core.paging import refuse, wanted_of
from dispatch.core.tenancy import asked_for
from dispatch.ports.webhooks import DeliveryFilter
from dispatch.services.webhooks import DELIVERIES, ENDPOINTS
from protocol.webhooks import DeliveryState, EndpointPatch, EndpointRequest, WebhookEvent

NO_STORE = {"Cache-Control": "no-store"}
"""Of answers that hold a secret."""


async def create(call: Call) -> web.StreamResponse:
    request, key = await call.keyed_message(EndpointRequest)
    answer = answered(await call.services.webhooks.create(call.who, request, key))
    answer.headers.update(NO_STORE)
    return answer


async def list_endpoints(call: Call) -> web.StreamResponse:
    return paging.answer(call, await call.services.webhooks.list(call.who, paging.asked(call, ENDPOINTS)))


async def get(call: Call) -> web.StreamResponse:
    return answers.message(await call.services.webhooks.get(call.who, call.path("endpoint_id")))


async def patch(call: Call) -> web.StreamResponse:
    request = await call.message(EndpointPatch)
    return answers.message(await call.services.webhooks.patch(call.who, call.path("endpoint_id"), request))


async def delete(call: Call) -> web.StreamResponse:
    return answers.message(await call.services.webhooks.delete(call.who, call.path("endpoint_id")))


async def test(call: Call) -> web.StreamResponse:
    return answers.message(await call.services.webhooks.test(call.who, call.path("endpoint_id")))


async def endpoint_secret(call: Call) -> web.StreamResponse:
    return answers.message(await call.services.webhooks.endpoint_secret(call.who, call.path("endpoint_id")), 200, NO_STORE)


async def rotate_endpoint_secret(call: Call) -> web.StreamResponse:
    key = key_of_nothing(call)
    return answered(await call.services.webhooks.rotate_endpoint_secret(call.who, call.path("endpoint_id"), key))


async def secret(call: Call) -> web.StreamResponse:
    return answers.message(await call.services.webhooks.tenant_secret(call.who), 200, NO_STORE)


async def rotate_secret(call: Call) -> web.StreamResponse:
    return answered(await call.services.webhooks.rotate_tenant_secret(call.who, key_of_nothing(call)))


async def list_deliveries(call: Call) -> web.StreamResponse:
    query = call.query()
    wanted = DeliveryFilter(
        tenant=asked_for(query, call.who),
        state=_word("state", query.get("state"), tuple(DeliveryState)),
        endpoint_id=query.get("endpoint_id"),
        job_id=query.get("job_id"),
        event=_word("event", query.get("event"), tuple(WebhookEvent)),
        page=wanted_of(query, DELIVERIES),
    )
    return paging.answer(call, await call.services.webhooks.deliveries(wanted))


def _word(name: str, told: str | None, known: tuple[str, ...]) -> str | None:
    if told is not None and told not in known:
        raise refuse(name, f"must be one of {', '.join(known)}")
    return told


async def get_delivery(call: Call) -> web.StreamResponse:
    return answers.message(await call.services.webhooks.delivery(call.who, call.path("delivery_id")))


async def redeliver(call: Call) -> web.StreamResponse:
    return answered(await call.services.webhooks.redeliver(call.who, call.path("delivery_id"), key_of_nothing(call)))


HANDLERS: dict[str, Handler] = {
    "create_webhook_endpoint": create,
    "list_webhook_endpoints": list_endpoints,
    "get_webhook_endpoint": get,
    "patch_webhook_endpoint": patch,
    "delete_webhook_endpoint": delete,
    "test_webhook_endpoint": test,
    "get_endpoint_secret": endpoint_secret,
    "rotate_endpoint_secret": rotate_endpoint_secret,
    "get_webhook_secret": secret,
    "rotate_webhook_secret": rotate_secret,
    "list_deliveries": list_deliveries,
    "get_delivery": get_delivery,
    "redeliver": redeliver,
}
