"""What a transaction knows of webhooks: endpoints and deliveries."""

from __future__ import annotations

from typing import Protocol


class WebhookRows(Protocol):
    """Part of `dispatch.ports.Transaction`."""
