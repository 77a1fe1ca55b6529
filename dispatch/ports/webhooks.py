"""What a transaction knows of webhooks: endpoints and deliveries; and who sends them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from dispatch.core.paging import FIRST, Slice, Wanted
from dispatch.core.records import Delivery, WebhookEndpoint
from dispatch.core.webhooks import Tried


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """None means any."""

    tenant: str | None = None
    state: str | None = None
    endpoint_id: str | None = None
    job_id: str | None = None
    event: str | None = None
    page: Wanted = FIRST


class WebhookRows(Protocol):
    """Part of `dispatch.ports.Transaction`. Deliveries are made by the store itself, with the events they tell of."""

    def endpoint(self, endpoint_id: str) -> WebhookEndpoint | None: ...
    def endpoints_of(self, tenant: str | None) -> list[WebhookEndpoint]:
        """Active or not; of all tenants when None."""
        ...

    def put_endpoint(self, endpoint: WebhookEndpoint) -> None: ...
    def delete_endpoint(self, endpoint_id: str) -> None: ...
    def deliveries(self, delivery_ids: Iterable[str]) -> list[Delivery]: ...
    def pending_deliveries(self) -> list[Delivery]:
        """Every one that is not over, without its payload and log."""
        ...

    def pending_of_endpoint(self, endpoint_id: str, limit: int) -> list[Delivery]: ...
    def overdue_deliveries(self, before: float, limit: int) -> list[Delivery]:
        """Pending ones that were due before this moment."""
        ...

    def put_deliveries(self, deliveries: Iterable[Delivery]) -> None:
        """Save them; one that has ended of a job that is no more is removed instead."""
        ...

    def list_deliveries(self, wanted: DeliveryFilter) -> Slice[Delivery]:
        """Newest first."""
        ...

    def webhook_secrets(self, tenant: str) -> tuple[str, ...] | None:
        """As they are kept, sealed; None when there is no such tenant."""
        ...

    def put_webhook_secrets(self, tenant: str, kept: tuple[str, ...]) -> None: ...


class WebhookSender(Protocol):
    """Sends one POST, and raises nothing: whatever goes wrong is what was tried. It takes no longer than `longest_s`."""

    @property
    def longest_s(self) -> float: ...
    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Tried: ...
    async def close(self) -> None: ...
