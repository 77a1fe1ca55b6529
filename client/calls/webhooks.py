"""Who is told of jobs, by which secrets, and what became of each message."""

from __future__ import annotations

from client.calls.base import Calls
from protocol import webhooks


class WebhookCalls(Calls):
    async def create_endpoint(self, request: webhooks.EndpointRequest, *, key: str | None = None) -> webhooks.EndpointCreated:
        """The answer holds the secret its messages are signed with."""
        return await self._ask("create_webhook_endpoint", webhooks.EndpointCreated, body=request, headers=self._once(key))

    async def endpoints(self, **query: str) -> webhooks.EndpointPage:
        return await self._ask("list_webhook_endpoints", webhooks.EndpointPage, query=query)

    async def endpoint(self, endpoint_id: str) -> webhooks.EndpointView:
        return await self._ask("get_webhook_endpoint", webhooks.EndpointView, ids={"endpoint_id": endpoint_id})

    async def patch_endpoint(self, endpoint_id: str, change: webhooks.EndpointPatch) -> webhooks.EndpointView:
        ids = {"endpoint_id": endpoint_id}
        return await self._ask("patch_webhook_endpoint", webhooks.EndpointView, ids=ids, body=change)

    async def delete_endpoint(self, endpoint_id: str) -> webhooks.EndpointView:
        return await self._ask("delete_webhook_endpoint", webhooks.EndpointView, ids={"endpoint_id": endpoint_id})

    async def test_endpoint(self, endpoint_id: str) -> webhooks.EndpointTestReply:
        """Send one `webhook.test` now; the answer tells what came back."""
        return await self._ask("test_webhook_endpoint", webhooks.EndpointTestReply, ids={"endpoint_id": endpoint_id})

    async def endpoint_secret(self, endpoint_id: str) -> webhooks.SecretReply:
        return await self._ask("get_endpoint_secret", webhooks.SecretReply, ids={"endpoint_id": endpoint_id})

    async def rotate_endpoint_secret(self, endpoint_id: str, *, key: str | None = None) -> webhooks.SecretReply:
        ids = {"endpoint_id": endpoint_id}
        return await self._ask("rotate_endpoint_secret", webhooks.SecretReply, ids=ids, headers=self._once(key))

    async def webhook_secret(self) -> webhooks.SecretReply:
        """What messages to the `webhook_url` of this tenant's jobs are signed with."""
        return await self._ask("get_webhook_secret", webhooks.SecretReply)

    async def rotate_webhook_secret(self, *, key: str | None = None) -> webhooks.SecretReply:
        return await self._ask("rotate_webhook_secret", webhooks.SecretReply, headers=self._once(key))

    async def deliveries(self, **query: str) -> webhooks.DeliveryPage:
        """One page; the keywords are the query parameters of the call: `state`, `endpoint_id`, `job_id`, `event`."""
        return await self._ask("list_deliveries", webhooks.DeliveryPage, query=query)

    async def delivery(self, delivery_id: str) -> webhooks.DeliveryDetail:
        return await self._ask("get_delivery", webhooks.DeliveryDetail, ids={"delivery_id": delivery_id})

    async def redeliver(self, delivery_id: str, *, key: str | None = None) -> webhooks.DeliveryDetail:
        """Send it again: the same id and bytes."""
        ids = {"delivery_id": delivery_id}
        return await self._ask("redeliver", webhooks.DeliveryDetail, ids=ids, headers=self._once(key))
